/** Where requests of one kind are counted: found once for all requests that are answered from the cache alike. */
import type { HistogramSeries, Series } from "./metric.ts";

export interface RequestSeries {
  readonly requests: Series;
  readonly duration: HistogramSeries;
  readonly received: HistogramSeries;
  readonly written: HistogramSeries;
  /** Of a read or a push in a repository that is counted by itself. */
  readonly repository: { readonly requests: Series; readonly bytes: Series } | undefined;
  /** What the request did with an upload, where it did something. */
  readonly upload: Series | undefined;
}
