/** Verdicts as tests look at them. */
import type { Proof, Reason, Verdict } from "../verifier.ts";

/** Undefined when the credentials are not good. */
export async function proofOf(verdict: Promise<Verdict>): Promise<Proof | undefined> {
  const known = await verdict;
  return known.kind === "proof" ? known : undefined;
}

/** Why they are not; undefined when they are. */
export async function reasonOf(verdict: Promise<Verdict>): Promise<Reason | undefined> {
  const known = await verdict;
  return known.kind === "rejection" ? known.reason : undefined;
}
