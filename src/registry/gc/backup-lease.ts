/** Holds back the unlinking of files in all processes while a copy of the registry is being made. */
import { randomUUID } from "node:crypto";
import { OciError } from "../../oci/error.ts";
import type { Backend } from "../backend.ts";
import { BACKUP_LEASE } from "./trash.ts";

/** If the backup dies, unlinking goes on after so long. */
const LEASE_MS = 60_000;

/** Until it is disposed of, no file that is recorded now is removed. Refused while another backup runs. */
export async function holdUnlinking({ metadata, clock }: Backend): Promise<AsyncDisposable> {
  const holder = randomUUID();
  const take = (): Promise<boolean> => metadata.takeLease(BACKUP_LEASE, holder, clock.now() + LEASE_MS);
  if (!(await take())) throw new OciError("UNAVAILABLE", { message: "another backup is being made: wait for its end" });
  const renewing = setInterval(() => void take().catch(() => undefined), LEASE_MS / 4);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(renewing);
      await metadata.releaseLease(BACKUP_LEASE, holder);
    },
  };
}
