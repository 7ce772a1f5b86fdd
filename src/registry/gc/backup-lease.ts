/** Holds back the unlinking of files in all processes while a copy of the registry is being made. */
import { OciError } from "../../oci/error.ts";
import type { Backend } from "../backend.ts";
import { Lease } from "./lease.ts";
import { BACKUP_LEASE } from "./trash.ts";

/** If the backup dies, unlinking goes on after so long. */
const LEASE_MS = 60_000;

/** Until it is disposed of, no file that is recorded now is removed. Refused while another backup runs. */
export async function holdUnlinking(backend: Backend): Promise<AsyncDisposable> {
  const lease = new Lease(backend, BACKUP_LEASE, LEASE_MS);
  if (!(await lease.take())) {
    throw new OciError("UNAVAILABLE", { message: "another backup is being made: wait for its end" });
  }
  const renewing = setInterval(() => void lease.take().catch(() => undefined), LEASE_MS / 4);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(renewing);
      await lease.release();
    },
  };
}
