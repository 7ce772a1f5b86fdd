/** Settings without the secrets in them, for what is printed. */

const HIDDEN = "***";

/** Keys whose values are secrets, wherever they stand. */
const SECRET_KEY = /^(?:access|account|session)?(?:key|token)$|secret|password|passphrase|credentials/i;

/** In these the name of a table's key says nothing: every value may be one. */
const SECRET_TABLE = /^headers$/i;

/** Names of files, which are no secrets. */
const FILE_KEY = /^\/|\.(?:pem|key|crt|json)$/;

/** Returns `value` of the setting at `path` with stars in the place of secrets. */
export function withoutSecrets(path: string, value: unknown): unknown {
  return hide(path.split(".").at(-1) ?? "", value, path === "http.headers");
}

function hide(key: string, value: unknown, isShown: boolean): unknown {
  if (Array.isArray(value)) return value.map((entry) => hide(key, entry, isShown));
  if (typeof value === "object" && value !== null) {
    const isTable = SECRET_TABLE.test(key) && !isShown;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, isTable ? HIDDEN : hide(name, inner, isShown)]),
    );
  }
  if (typeof value !== "string") return value;
  if (SECRET_KEY.test(key) && !FILE_KEY.test(value)) return HIDDEN;
  // `scheme://user:password@host`, and parameters of databases.
  return value
    .replace(/(?<=^[a-z][a-z0-9+.-]*:\/\/[^/@\s]*:)[^/@\s]+(?=@)/i, HIDDEN)
    .replace(/(?<=[?&]password=)[^&]+/gi, HIDDEN);
}
