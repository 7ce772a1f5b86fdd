/** Time as a value that can be given: nothing else in the program asks the machine what time it is. */

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
