/** Holds back the unlinking of files in all processes while a copy of the registry is being made. */
import { BACKUP_LEASE } from "../../metadata/leases.ts";
import { OciError } from "../../oci/error.ts";
import type { Backend } from "../backend.ts";
import { Lease } from "./lease.ts";
import type { HeldLease } from "./lease.ts";

/** If the backup dies, unlinking goes on after so long. */
const LEASE_MS = 60_000;

/**
 * Until it is disposed of or lost, no file is removed that is recorded now. Throws `UNAVAILABLE` while another backup runs.
 */
export async function holdUnlinking(backend: Backend): Promise<HeldLease> {
  const held = await new Lease(backend, BACKUP_LEASE, LEASE_MS).hold();
  if (held) return held;
  throw new OciError("UNAVAILABLE", { message: "another backup is being made: wait for its end" });
}
