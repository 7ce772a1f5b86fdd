/** The address that a setting says. */
import { parseAddress } from "../config/address.ts";
import type { ListenAddress } from "../config/address.ts";
import { CommandError } from "./command-error.ts";

/** Throws `CommandError` when `text` is not one, which the schema of the settings refuses already. */
export function addressOf(text: string): ListenAddress {
  const address = parseAddress(text);
  if (!address) throw new CommandError(`${text} is not an address`);
  return address;
}
