import type { Metric } from 'prom-client';

const BOUNDS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * Counts durations in buckets. prom-client's own histogram hashes a label object at each observation, which costs more
 * than the rest of a reply; this one adds to an array and is shown to the registry only at a scrape.
 */
export class DurationHistogram {
  readonly #buckets = new Float64Array(BOUNDS_SECONDS.length + 1);
  #sum = 0;

  /** Adds one duration, seconds. */
  observe(seconds: number): void {
    let i = 0;
    while (i < BOUNDS_SECONDS.length && seconds > BOUNDS_SECONDS[i]!) i += 1;
    this.#buckets[i]! += 1;
    this.#sum += seconds;
  }

  /** Returns a metric that prom-client's registry accepts and that reads its series when scraped. */
  static metric(
    name: string,
    help: string,
    series: () => readonly { labels: Readonly<Record<string, string>>; histogram: DurationHistogram }[],
  ): Metric {
    const get = () => ({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: series().flatMap(({ labels, histogram }) => histogram.#values(name, labels)),
    });
    // The registry asks for a name and get() only; its declared type is the union of its own classes.
    return { name, help, get, reset: () => {} } as unknown as Metric;
  }

  #values(name: string, labels: Readonly<Record<string, string>>): { metricName: string; labels: object; value: number }[] {
    const values = [];
    let total = 0;
    for (const [i, count] of this.#buckets.entries()) {
      total += count;
      const le = i < BOUNDS_SECONDS.length ? String(BOUNDS_SECONDS[i]) : '+Inf';
      values.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: total });
    }
    values.push({ metricName: `${name}_sum`, labels, value: this.#sum });
    values.push({ metricName: `${name}_count`, labels, value: total });
    return values;
  }
}
