/** Control characters: a terminal obeys them, and a line break makes one line of text two. */

/** C0, DEL, C1 and Unicode's separators of lines and paragraphs. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** As `CONTROLS`, without line feed and tab. */
const CONTROLS_IN_LINES = /[^\P{Cc}\n\t]|[\p{Zl}\p{Zp}]/gu;

/** Those that JSON leaves as they are: DEL, C1 and the separators. */
const CONTROLS_IN_JSON = /[\u007f-\u009f\u2028\u2029]/g;

/** Returns `text` in one line, with each control character written as JSON escapes it. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** Returns `text` with its lines and tabs as they are, and every other control character escaped. */
export function escapeControlsInLines(text: string): string {
  return text.replace(CONTROLS_IN_LINES, escaped);
}

/** Returns JSON that says the same and holds no control character but between its values. */
export function escapeControlsInJson(json: string): string {
  return json.replace(CONTROLS_IN_JSON, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
