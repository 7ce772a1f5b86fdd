/** Calls to the database, the storage and upstreams, reported from one place to be measured or traced. */

export interface Call {
  readonly target: "database" | "storage" | "upstream";
  /** What carries the call out: `sqlite`, `filesystem`, `s3`. */
  readonly driver: string;
  readonly action: string;
}

/** Observes calls. It never throws. */
export interface CallObserver {
  /** A call begins. The result is to be called once, when the call has ended; with its error when it failed. */
  begin(call: Call): (error?: unknown) => void;
}

/** Returns an observer that tells several; undefined when there is none. */
export function observerOfAll(observers: readonly (CallObserver | undefined)[]): CallObserver | undefined {
  const all = observers.filter((observer) => observer !== undefined);
  if (all.length < 2) return all[0];
  return {
    begin(call) {
      const ends = all.map((observer) => observer.begin(call));
      return (error) => {
        for (const end of ends) end(error);
      };
    },
  };
}

/** Calls `work` and tells of it; a result that is a promise ends the call when it settles. */
export function observed<Result>(observer: CallObserver, call: Call, work: () => Result): Result {
  const end = observer.begin(call);
  let result: Result;
  try {
    result = work();
  } catch (error) {
    end(error);
    throw error;
  }
  if (result instanceof Promise) result.then(() => end(), end);
  else end();
  return result;
}

/** The names of methods, each with the action that a call of it is. */
export type Actions<Target> = Readonly<Partial<Record<keyof Target & string, string>>>;

/**
 * Returns a driver that does what `target` does, and tells of the calls of the methods that `actions` name. The other
 * methods are called without a detour.
 */
export function observedDriver<Target extends object>(
  target: Target,
  { target: kind, driver }: Omit<Call, "action">,
  actions: Actions<Target>,
  observer: CallObserver,
): Target {
  const wrapped: Record<PropertyKey, unknown> = {};
  for (const [name, property] of [...ownMembers(target), ...classMembers(target)]) {
    if (Object.hasOwn(wrapped, name)) continue;
    if (typeof property.value !== "function") {
      Object.defineProperty(wrapped, name, { get: () => Reflect.get(target, name, target) as unknown });
      continue;
    }
    const method = (property.value as (...values: readonly unknown[]) => unknown).bind(target);
    const action = typeof name === "string" ? (actions as Readonly<Record<string, string>>)[name] : undefined;
    const call: Call | undefined = action === undefined ? undefined : { target: kind, driver, action };
    wrapped[name] = call
      ? (...values: readonly unknown[]) => observed(observer, call, () => method(...values))
      : method;
  }
  return wrapped as Target;
}

type Member = readonly [name: PropertyKey, property: PropertyDescriptor];

function ownMembers(target: object): readonly Member[] {
  return Reflect.ownKeys(target).flatMap((name) => {
    const property = Reflect.getOwnPropertyDescriptor(target, name);
    return property && name !== "constructor" ? [[name, property] as const] : [];
  });
}

/** Found once for each class, because a driver may make many objects of it. */
const membersOfClasses = new WeakMap<object, readonly Member[]>();

function classMembers(target: object): readonly Member[] {
  const prototype = Object.getPrototypeOf(target) as object | null;
  if (prototype === null || prototype === Object.prototype) return [];
  let members = membersOfClasses.get(prototype);
  if (!members) membersOfClasses.set(prototype, (members = [...ownMembers(prototype), ...classMembers(prototype)]));
  return members;
}
