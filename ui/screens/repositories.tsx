/** All repositories, searched and sorted. */
import { addressOf, repositoriesScreen, repositoryScreen } from "../address.ts";
import type { Repository } from "../api-types.ts";
import { count } from "../format.ts";
import { goTo } from "../navigation.ts";
import { usePagedList } from "../paged-list.ts";
import { Rows } from "../parts/rows.tsx";
import { Select } from "../parts/select.tsx";
import { Age, Bytes } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";

export function Repositories({ q, sort }: { readonly q: string; readonly sort: string }) {
  const list = usePagedList<Repository>(`/repositories?${new URLSearchParams({ sort, ...(q !== "" && { q }) })}`);
  return (
    <>
      <div class="title">
        <h1>{TEXTS.repositories}</h1>
        <Select
          label={TEXTS.sort}
          options={TEXTS.repositoryOrders}
          value={sort}
          onChange={(chosen) => goTo(repositoriesScreen(q, chosen))}
        />
      </div>
      <Rows
        list={list}
        label={TEXTS.repositories}
        layout="repositories"
        head={[TEXTS.repository, TEXTS.tags, TEXTS.size, TEXTS.lastPush]}
        keyOf={({ name }) => name}
        none={q === "" ? <a href="./">{TEXTS.emptyTitle}</a> : TEXTS.noMatch(q)}
        row={({ name, tags, bytes, pushedAt }) => [
          <a data-row href={addressOf(repositoryScreen(name))} title={name}>
            {name}
          </a>,
          count(tags),
          <Bytes bytes={bytes} />,
          <Age time={pushedAt} />,
        ]}
      />
    </>
  );
}
