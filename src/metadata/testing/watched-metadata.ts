/** Metadata whose calls a test sees before they are made. */
import type { Metadata } from "../metadata.ts";

/** A call such as `uploads.save`. */
export type MetadataCall = `${string}.${string}`;

/** The same metadata; `onCall` is told of each call of a noun's operation, and waited for when it returns a promise. */
export function watchedMetadata(metadata: Metadata, onCall: (call: MetadataCall) => Promise<void> | void): Metadata {
  return new Proxy(metadata, {
    get(target, noun) {
      const value: unknown = Reflect.get(target, noun, target);
      if (typeof value === "function") return value.bind(target);
      return typeof value === "object" && value !== null ? watchedNoun(value, String(noun), onCall) : value;
    },
  });
}

function watchedNoun(operations: object, noun: string, onCall: (call: MetadataCall) => Promise<void> | void): object {
  return new Proxy(operations, {
    get(target, name) {
      const operation: unknown = Reflect.get(target, name, target);
      if (typeof operation !== "function") return operation;
      return (...given: unknown[]): unknown => {
        const told = onCall(`${noun}.${String(name)}`);
        const call = (): unknown => Reflect.apply(operation, target, given);
        return told instanceof Promise ? told.then(call) : call();
      };
    },
  });
}
