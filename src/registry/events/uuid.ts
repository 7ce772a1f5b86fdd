/** Ids of events: UUIDs of version 7 (RFC 9562, 5.7), as distribution makes them, which sort by time. */
import { randomBytes } from "node:crypto";

/** Returns a UUID of this time, in milliseconds since 1970. */
export function randomUUIDv7(now: number): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
