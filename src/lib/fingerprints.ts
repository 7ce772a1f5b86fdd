/** Which hexadecimal hashes have been seen, in 16 to 32 bytes each. */

/** Digits of a hash that are kept: 64 bits, of which among a million any two are the same once in ten million times. */
const DIGITS = 16;

/** Stands for the hash that is zero, as that of a free place is. */
const ZERO = 0xffff_ffff_ffff_ffffn;

/** A set of hashes by their first 64 bits: many of them cost little memory. */
export class Fingerprints {
  /** Open addressing: each stands where it belongs or in the next free place. Zero is a free place. */
  #places = new BigUint64Array(1024);
  #count = 0;

  /** Adds a hash; false when it was added before. */
  add(hex: string): boolean {
    const fingerprint = BigInt(`0x${hex.slice(0, DIGITS)}`) || ZERO;
    const place = this.#placeOf(fingerprint);
    if (this.#places[place] !== 0n) return false;
    this.#places[place] = fingerprint;
    if (++this.#count * 2 > this.#places.length) this.#grow();
    return true;
  }

  #placeOf(fingerprint: bigint): number {
    const last = this.#places.length - 1;
    let place = Number(fingerprint & BigInt(last));
    while (this.#places[place] !== 0n && this.#places[place] !== fingerprint) place = (place + 1) & last;
    return place;
  }

  #grow(): void {
    const before = this.#places;
    this.#places = new BigUint64Array(before.length * 2);
    for (const fingerprint of before) if (fingerprint !== 0n) this.#places[this.#placeOf(fingerprint)] = fingerprint;
  }
}
