/** The first page: what was pushed last, or how to push the first image. */
import { useEffect } from "preact/hooks";
import { addressOf, repositoriesScreen, repositoryScreen } from "../address.ts";
import { attempt, useApi } from "../api.ts";
import type { Page, Repository } from "../api-types.ts";
import { counted } from "../format.ts";
import { isPlainHttp, registryHost } from "../navigation.ts";
import { CommandLine } from "../parts/commands.tsx";
import { WhenLoaded } from "../parts/load-state.tsx";
import { Age, Bytes } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";

const LAST_PUSHED = 10;

export function Home() {
  const loaded = useApi<Page<Repository>>(`/repositories?sort=-pushed&limit=${LAST_PUSHED}`);
  return (
    <WhenLoaded of={loaded.value}>
      {({ items }) => (items.length === 0 ? <FirstPush /> : <LastPushed repositories={items} />)}
    </WhenLoaded>
  );
}

function LastPushed({ repositories }: { readonly repositories: readonly Repository[] }) {
  return (
    <>
      <h1>{TEXTS.lastPushed}</h1>
      <ul class="last-pushed">
        {repositories.map(({ name, tags, bytes, pushedAt }) => (
          <li key={name}>
            <a data-row href={addressOf(repositoryScreen(name))}>
              {name}
            </a>
            <span>{counted(tags, "tag")}</span>
            <Bytes bytes={bytes} />
            <Age time={pushedAt} />
          </li>
        ))}
      </ul>
      <p>
        <a href={addressOf(repositoriesScreen())}>{TEXTS.allRepositories}</a>
      </p>
    </>
  );
}

/** Milliseconds between two looks whether the first image has come. */
const LOOK_MS = 2000;

/** Hosts to which docker pushes over plain HTTP without being told. */
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::|$|\/)/;

/** Teaches the first push, and goes on when it has come. */
function FirstPush() {
  useEffect(() => {
    const timer = setInterval(() => (attempt.value += 1), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const image = `${registryHost}/hello:1`;
  return (
    <section class="first-push">
      <h1>{TEXTS.emptyTitle}</h1>
      {isPlainHttp && !LOOPBACK.test(registryHost) && <p>{TEXTS.emptyPlain(location.host)}</p>}
      <ol>
        {[`docker pull busybox`, `docker tag busybox ${image}`, `docker push ${image}`].map((text) => (
          <li key={text}>
            <CommandLine text={text} />
          </li>
        ))}
      </ol>
    </section>
  );
}
