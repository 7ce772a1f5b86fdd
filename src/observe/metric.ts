/** What one metric has counted: plain numbers, so that counting costs next to nothing. */

/** What a metric is, in the words of Prometheus. */
export interface Definition {
  readonly name: string;
  readonly help: string;
  /** The names of its labels, in the order in which their values are given; none when there is one number. */
  readonly labels?: readonly string[];
}

/** How the numbers of several processes become one. */
export type Aggregator = "sum" | "max" | "first";

/** The numbers of a metric as of now: data that one process can send to another. */
export interface Samples {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly aggregator: Aggregator;
  readonly values: readonly Sample[];
}

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Of a histogram: the name with its suffix. */
  readonly metricName?: string;
}

/** Something with samples. */
export interface Measured {
  readonly samples: Samples;
}

/** One number for each combination of label values. */
export class Metric implements Measured {
  readonly #definition: Definition & Pick<Samples, "type" | "aggregator">;
  readonly #series: SeriesMap<Series>;

  constructor(definition: Definition & Pick<Samples, "type" | "aggregator">) {
    this.#definition = definition;
    this.#series = new SeriesMap(definition, () => new Series());
    if (!definition.labels?.length) this.at();
  }

  /** The number for these values of its labels: callers that count often keep it. */
  at(...labels: readonly string[]): Series {
    return this.#series.at(labels);
  }

  add(count: number, ...labels: readonly string[]): void {
    this.at(...labels).value += count;
  }

  set(value: number, ...labels: readonly string[]): void {
    this.at(...labels).value = value;
  }

  /** Forgets all values of labels. */
  clear(): void {
    this.#series.clear();
  }

  get samples(): Samples {
    const values = this.#series.all.map(([labels, { value }]) => ({ value, labels }));
    const { name, help, type, aggregator } = this.#definition;
    return { name, help, type, aggregator, values };
  }
}

/** A number that is counted. */
export class Series {
  value = 0;
}

/** How often values were in which range, for each combination of label values. */
export class Histogram implements Measured {
  readonly #definition: Definition;
  readonly #bounds: readonly number[];
  readonly #series: SeriesMap<HistogramSeries>;

  /** `bounds` are the upper bounds of the ranges, ascending; the last range has none. */
  constructor(definition: Definition, bounds: readonly number[]) {
    this.#definition = definition;
    this.#bounds = bounds;
    this.#series = new SeriesMap(definition, () => new HistogramSeries(bounds));
    if (!definition.labels?.length) this.at();
  }

  at(...labels: readonly string[]): HistogramSeries {
    return this.#series.at(labels);
  }

  get samples(): Samples {
    const { name, help } = this.#definition;
    const values = this.#series.all.flatMap(([labels, { counts, sum }]) => {
      let count = 0;
      const buckets = counts.map((inRange, index) => {
        count += inRange;
        return { value: count, labels: { ...labels, le: this.#bounds[index] ?? "+Inf" }, metricName: `${name}_bucket` };
      });
      return [
        ...buckets,
        { value: sum, labels, metricName: `${name}_sum` },
        { value: count, labels, metricName: `${name}_count` },
      ];
    });
    return { name, help, type: "histogram", aggregator: "sum", values };
  }
}

export class HistogramSeries {
  readonly #bounds: readonly number[];
  /** By range; what lies behind the last bound is last. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let range = 0;
    while (value > (this.#bounds[range] ?? Infinity)) range++;
    this.counts[range] = (this.counts[range] ?? 0) + 1;
    this.sum += value;
  }
}

/** What is counted for each combination of label values. */
class SeriesMap<Each> {
  readonly #names: readonly string[];
  readonly #make: () => Each;
  readonly #byValues = new Map<string, Each>();

  constructor({ labels = [] }: Definition, make: () => Each) {
    this.#names = labels;
    this.#make = make;
  }

  at(values: readonly string[]): Each {
    const key = values.length === 1 ? (values[0] ?? "") : values.join(SEPARATOR);
    let each = this.#byValues.get(key);
    if (each === undefined) this.#byValues.set(key, (each = this.#make()));
    return each;
  }

  get all(): readonly (readonly [labels: Readonly<Record<string, string>>, each: Each])[] {
    return Array.from(this.#byValues, ([key, each]) => {
      const values = key.split(SEPARATOR);
      return [Object.fromEntries(this.#names.map((name, index) => [name, values[index] ?? ""])), each] as const;
    });
  }

  clear(): void {
    this.#byValues.clear();
  }
}

/** Stands in no value of a label: control characters are in no name that the registry takes. */
const SEPARATOR = "\u0000";
