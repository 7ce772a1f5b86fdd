/** What stands in the place of content that is being loaded, or that was refused. */
import type { ComponentChildren } from "preact";
import { attempt } from "../api.ts";
import type { Loaded, Problem } from "../api.ts";
import { TEXTS } from "../texts.ts";
import { LogIn } from "./log-in.tsx";

/** Shows the value once it is here. */
export function WhenLoaded<Value>(parts: {
  readonly of: Loaded<Value>;
  readonly children: (value: Value) => ComponentChildren;
}) {
  switch (parts.of.state) {
    case "loading":
      return <Frame />;
    case "failed":
      return <Refusal problem={parts.of.problem} />;
    case "here":
      return <>{parts.children(parts.of.value)}</>;
  }
}

/** The frame of what comes; style shows it after a moment only. */
function Frame() {
  return (
    <div class="frame" aria-busy="true">
      <span />
      <span />
      <span />
    </div>
  );
}

export function Refusal({ problem }: { readonly problem: Problem }) {
  if (problem.status === 401) return <LogIn />;
  return (
    <div class="refusal" role="alert">
      <p>{problem.status === undefined ? TEXTS.unreachable : problem.status === 403 ? TEXTS.mayNot : problem.detail}</p>
      <p>
        <button type="button" onClick={() => (attempt.value += 1)}>
          {TEXTS.again}
        </button>
        {problem.requestId !== undefined && <small class="muted"> {TEXTS.requestId(problem.requestId)}</small>}
      </p>
    </div>
  );
}
