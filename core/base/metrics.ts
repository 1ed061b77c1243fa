/*
 * The process's metrics: created once in compose.ts and handed down. Names and labels follow spec/surface.md 5; a
 * series is looked up once and kept by whoever counts, so that counting is one addition.
 */

export type Labels = Readonly<Record<string, string>>;
export type MetricType = 'counter' | 'gauge' | 'histogram';

/** A series as it is read out. Histograms: `value` is the sum, `buckets` count what lies at or below `le` and above the
 * bucket before; null: without bound. */
export interface MetricValue {
  name: string;
  type: MetricType;
  labels: Labels;
  value: number;
  count?: number;
  buckets?: { le: number | null; count: number }[];
}

export interface Counter {
  add(amount?: number): void;
  readonly value: number;
}
export interface Gauge {
  set(value: number): void;
  readonly value: number;
}
export interface Histogram {
  observe(value: number): void;
}

/** Upper bounds in seconds; what Prometheus users expect of latencies, with room below a millisecond. */
export const LATENCY_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

interface Series {
  labels: Labels;
  value: number;
  /** Histograms: per bucket, not cumulative; the last is +Inf. */
  buckets: number[] | null;
  count: number;
}

interface Family {
  name: string;
  type: MetricType;
  help: string;
  bounds: readonly number[];
  series: Map<string, Series>;
}

export class Metrics {
  private readonly families = new Map<string, Family>();
  private readonly collectors: (() => void)[] = [];

  counter(name: string, help: string, labels: Labels = {}): Counter {
    const series = this.series(name, 'counter', help, labels, []);
    return {
      add(amount = 1) {
        series.value += amount;
      },
      get value() {
        return series.value;
      },
    };
  }

  gauge(name: string, help: string, labels: Labels = {}): Gauge {
    const series = this.series(name, 'gauge', help, labels, []);
    return {
      set(value) {
        series.value = value;
      },
      get value() {
        return series.value;
      },
    };
  }

  histogram(name: string, help: string, labels: Labels = {}, bounds: readonly number[] = LATENCY_BUCKETS): Histogram {
    const series = this.series(name, 'histogram', help, labels, bounds);
    const buckets = series.buckets ?? [];
    return {
      observe(value) {
        let i = 0;
        while (i < bounds.length && value > (bounds[i] as number)) i++;
        buckets[i] = (buckets[i] ?? 0) + 1;
        series.value += value;
        series.count++;
      },
    };
  }

  /** Called before every read-out: for gauges that are cheaper to compute than to keep. */
  beforeRead(collector: () => void): void {
    this.collectors.push(collector);
  }

  /** Drops the series with these labels (a deleted topic, a removed pipeline). */
  forget(matching: Labels): void {
    const wanted = Object.entries(matching);
    for (const family of this.families.values()) {
      for (const [key, series] of family.series) {
        if (wanted.every(([name, value]) => series.labels[name] === value)) family.series.delete(key);
      }
    }
  }

  /** Prometheus text format 0.0.4. */
  toPrometheus(): string {
    for (const collect of this.collectors) collect();
    const lines: string[] = [];
    for (const family of this.families.values()) {
      lines.push(`# HELP ${family.name} ${family.help}`, `# TYPE ${family.name} ${family.type}`);
      for (const series of family.series.values()) lines.push(...textOf(family, series));
    }
    return `${lines.join('\n')}\n`;
  }

  /** The same as plain objects, for JSON answers and pages. */
  toJSON(): MetricValue[] {
    for (const collect of this.collectors) collect();
    return [...this.families.values()].flatMap(family =>
      [...family.series.values()].map(series => ({
        name: family.name,
        type: family.type,
        labels: series.labels,
        value: series.value,
        ...(series.buckets
          ? {
              count: series.count,
              buckets: series.buckets.map((count, i) => ({ le: family.bounds[i] ?? null, count })),
            }
          : {}),
      })),
    );
  }

  private series(name: string, type: MetricType, help: string, labels: Labels, bounds: readonly number[]): Series {
    let family = this.families.get(name);
    if (!family) this.families.set(name, (family = { name, type, help, bounds, series: new Map() }));
    const key = labelText(labels);
    let series = family.series.get(key);
    if (!series) {
      const buckets = type === 'histogram' ? new Array<number>(bounds.length + 1).fill(0) : null;
      family.series.set(key, (series = { labels, value: 0, buckets, count: 0 }));
    }
    return series;
  }
}

function textOf(family: Family, series: Series): string[] {
  if (!series.buckets) return [`${family.name}${labelText(series.labels)} ${series.value}`];
  let sum = 0;
  const lines = series.buckets.map((count, i) => {
    sum += count;
    const le = i < family.bounds.length ? String(family.bounds[i]) : '+Inf';
    return `${family.name}_bucket${labelText({ ...series.labels, le })} ${sum}`;
  });
  const labels = labelText(series.labels);
  return [...lines, `${family.name}_sum${labels} ${series.value}`, `${family.name}_count${labels} ${series.count}`];
}

function labelText(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return '';
  const escape = (value: string): string => value.replace(/[\\"\n]/g, c => (c === '\n' ? '\\n' : `\\${c}`));
  return `{${entries.map(([name, value]) => `${name}="${escape(value)}"`).join(',')}}`;
}
