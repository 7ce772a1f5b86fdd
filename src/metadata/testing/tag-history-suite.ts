/** Pruning of tag histories. */
import { expect, test } from "bun:test";
import { tag } from "../../oci/tag.ts";
import type { HistoryPosition } from "../tag-history.ts";
import { APP, OTHER, Subject } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const RULES = { undoMs: 0, historyMs: 1_000_000, historyEntries: 1_000_000 };

/** Gives a tag `count` more entries, of which the last one ends at `until` and the one before it a millisecond earlier. */
const SEED = `
  with recursive number (at) as (select 1 union all select at + 1 from number where at < $3)
  insert into tag_history (repo, name, digest, since, until)
  select r.id, $2, h.digest, $4 - $3 + at - 1, $4 - $3 + at
  from number, repo r, (select digest from manifest limit 1) h where r.name = $1 order by at`;

/** Goes through all tags and gives how many entries each step deleted. */
async function prune(
  { store }: Subject,
  rules: Partial<typeof RULES>,
  { now = 10_000, tags = 10 } = {},
): Promise<readonly number[]> {
  const steps: number[] = [];
  let position: HistoryPosition | undefined;
  do {
    const { pruned, next } = await store.tagHistories.prune(position, tags, { ...RULES, ...rules }, now);
    steps.push(pruned);
    position = next;
  } while (position);
  return steps;
}

async function endsOf({ store }: Subject, name: string): Promise<readonly (number | undefined)[]> {
  return (await store.tags.history(APP, tag(name), 10_000)).map(({ until }) => until);
}

export function testTagHistory(open: OpenMetadata): void {
  async function seeded(counts: Readonly<Record<string, number>>, until = 10_000): Promise<Subject> {
    const subject = await Subject.open(open);
    await subject.image("image", { tags: Object.keys(counts).map((name) => tag(name)) });
    for (const [name, count] of Object.entries(counts)) await subject.change(SEED, APP, name, count, until);
    return subject;
  }

  test("the newest entries of each tag stay, and the older ones are deleted", async () => {
    await using subject = await seeded({ latest: 50, v1: 3, v2: 10 });
    await prune(subject, { historyEntries: 10 });
    const newest = Array.from({ length: 10 }, (_, at) => 10_000 - at);
    expect(await endsOf(subject, "latest")).toEqual([undefined, ...newest]); // and what it points at now
    expect(await endsOf(subject, "v1")).toEqual([undefined, 10_000, 9999, 9998]);
    expect(await endsOf(subject, "v2")).toEqual([undefined, ...newest]);
  });

  test("entries that ended before the age are deleted", async () => {
    await using subject = await seeded({ latest: 50 });
    await prune(subject, { historyMs: 20 }, { now: 10_000 });
    expect((await endsOf(subject, "latest")).at(-1)).toBe(9980);
  });

  test("entries that ended less than the undo period ago stay, whatever their age and number", async () => {
    await using subject = await seeded({ latest: 50 });
    await prune(subject, { undoMs: 30, historyMs: 0, historyEntries: 0 });
    expect((await endsOf(subject, "latest")).at(-1)).toBe(9970);
  });

  test("no entry at all stays of a tag with 0 entries and no undo period, and what it points at now does", async () => {
    await using subject = await seeded({ latest: 5 });
    await prune(subject, { historyEntries: 0 }, { now: 10_001 });
    expect(await endsOf(subject, "latest")).toEqual([undefined]);
  });

  test("a step deletes some hundred entries at most, and looks at so many tags at most", async () => {
    await using subject = await seeded({ latest: 1000, v1: 1, v2: 1, v3: 1 });
    const steps = await prune(subject, { historyMs: 0 }, { now: 20_000, tags: 2 });
    expect(steps.reduce((sum, pruned) => sum + pruned)).toBe(1003);
    expect(Math.max(...steps)).toBeLessThanOrEqual(400);
    expect(steps.length).toBeGreaterThanOrEqual(6);
    expect(await subject.query("select id from tag_history")).toEqual([]);
  });

  test("histories in all repositories are pruned, those of deleted tags too", async () => {
    await using subject = await seeded({ latest: 5 });
    await subject.image("other", { to: OTHER, tags: [tag("latest")] });
    await subject.change(SEED, OTHER, "latest", 5, 10_000);
    await subject.store.tags.delete(APP, tag("latest"));
    await prune(subject, { historyEntries: 2 });
    const left = await subject.query("select count(*) as entries from tag_history group by repo order by repo");
    expect(left).toEqual([{ entries: 2 }, { entries: 2 }]);
  });
}
