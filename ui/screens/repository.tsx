/** One repository: its tags, and how to pull from it. */
import { addressOf, repositoryScreen, tagScreen } from "../address.ts";
import { repositoryPath, useApi } from "../api.ts";
import type { RepositoryDetails, Session, Tag } from "../api-types.ts";
import { counted } from "../format.ts";
import { goTo } from "../navigation.ts";
import { usePagedList } from "../paged-list.ts";
import { PullCommand } from "../parts/commands.tsx";
import { WhenLoaded } from "../parts/load-state.tsx";
import { Rows } from "../parts/rows.tsx";
import { Select } from "../parts/select.tsx";
import { Age, Bytes } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";
import { LastDeletion } from "./delete-tags.tsx";
import { SelectTag, SelectionLine, useSelection } from "./selection.tsx";

interface Parts {
  readonly name: string;
  readonly q: string;
  readonly sort: string;
}

export function RepositoryScreen({ name, q, sort }: Parts) {
  const loaded = useApi<RepositoryDetails>(repositoryPath(name));
  return (
    <WhenLoaded of={loaded.value}>
      {(repository) => (
        <>
          <Summary repository={repository} />
          <LastDeletion name={name} />
          <Tags name={name} q={q} sort={sort} mayDelete={repository.permissions.includes("delete")} />
        </>
      )}
    </WhenLoaded>
  );
}

function Summary({ repository }: { readonly repository: RepositoryDetails }) {
  const { name, tags, bytes, pushedAt, uploads } = repository;
  return (
    <div class="title">
      <h1>{name}</h1>
      <p class="muted">
        {counted(tags, "tag")} · <Bytes bytes={bytes} />
        {pushedAt !== null && (
          <>
            {" · "}
            {TEXTS.lastPush} <Age time={pushedAt} />
          </>
        )}
        {uploads > 0 && ` · ${counted(uploads, "unfinished upload")}`}
      </p>
    </div>
  );
}

function Tags({ name, q, sort, mayDelete }: Parts & { readonly mayDelete: boolean }) {
  const list = usePagedList<Tag>(repositoryPath(name, `tags?${new URLSearchParams({ sort, ...(q !== "" && { q }) })}`));
  const [first] = list.items.value;
  const total = list.total.value;
  const session = useApi<Session>("/me").value;
  const canDelete =
    mayDelete &&
    session.state === "here" &&
    session.value.registry.deleteEnabled &&
    !session.value.registry.readOnly &&
    first !== undefined;
  const selection = useSelection(`${name} ${q}`);
  return (
    <>
      {first && (
        <PullCommand name={name} reference={`:${first.name}`} kind={first.kind} artifactType={first.artifactType} />
      )}
      <div class="filter">
        <input
          type="search"
          aria-label={TEXTS.filter}
          placeholder={TEXTS.filter}
          value={q}
          onInput={(event) => goTo(repositoryScreen(name, event.currentTarget.value, sort), { replace: true })}
        />
        <Select
          label={TEXTS.sort}
          options={TEXTS.tagOrders}
          value={sort}
          onChange={(chosen) => goTo(repositoryScreen(name, q, chosen))}
        />
        <span class="muted" role="status">
          {total === undefined ? "" : counted(total, "tag")}
        </span>
      </div>
      {canDelete && <SelectionLine name={name} letters={q} total={total ?? 0} selection={selection} />}
      <Rows
        list={list}
        label={TEXTS.tags}
        layout={canDelete ? "tags selectable" : "tags"}
        head={[
          ...(canDelete ? [TEXTS.selectColumn] : []),
          TEXTS.tag,
          TEXTS.platforms,
          TEXTS.size,
          TEXTS.pushed,
          TEXTS.notes,
        ]}
        keyOf={(tag) => tag.name}
        none={q === "" ? TEXTS.noTags : TEXTS.noTagMatches(q)}
        row={(tag) => [
          ...(canDelete ? [<SelectTag tag={tag} selection={selection} />] : []),
          <TagName name={name} tag={tag} />,
          <Platforms platforms={tag.platforms} />,
          <Bytes bytes={tag.bytes} />,
          <Age time={tag.pushedAt} />,
          <Notes tag={tag} />,
        ]}
      />
    </>
  );
}

/** Other tags of the same digest that a row names. */
const SHOWN_ALIASES = 3;

function TagName({ name, tag }: { readonly name: string; readonly tag: Tag }) {
  const { aliases, aliasCount } = tag;
  const shown = aliases.slice(0, SHOWN_ALIASES);
  const others = aliasCount > shown.length ? [...shown, TEXTS.moreTags(aliasCount - shown.length)] : shown;
  return (
    <>
      <a data-row class="mono" href={addressOf(tagScreen(name, tag.name))} title={tag.name}>
        {tag.name}
      </a>
      {others.length > 0 && (
        <span class="muted aliases" title={others.join(", ")}>
          {others.join(", ")}
        </span>
      )}
    </>
  );
}

/** Platforms with their system once: `linux/amd64 arm64`. */
function Platforms({ platforms }: { readonly platforms: readonly string[] }) {
  const shown = platforms.map((platform, at) => {
    const system = platform.slice(0, platform.indexOf("/") + 1);
    return at > 0 && system !== "" && platforms[at - 1]?.startsWith(system) === true
      ? platform.slice(system.length)
      : platform;
  });
  return <span title={platforms.join(", ")}>{shown.join(" ")}</span>;
}

function Notes({ tag }: { readonly tag: Tag }) {
  const kinds = tag.referrerTypes.filter((type) => /spdx|cyclonedx|sbom/i.test(type)).length;
  return (
    <>
      {tag.isSigned && <span class="good">✓ {TEXTS.signed}</span>} {kinds > 0 && <span>SBOM</span>}
      {tag.kind === "artifact" && <span class="muted">{tag.artifactType}</span>}
    </>
  );
}
