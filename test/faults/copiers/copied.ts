/** What a copier's topics hold in the end, judged by a reader of its own: input once in the output, in order. */
import { TopicReader } from '../../servers/topic-reader.ts';
import { Wire } from '../../servers/wire.ts';
import { decodeBatches, decodeRecords } from '../../servers/wire-batch.ts';
import type { CopierJob } from './copier.ts';
import type { Writer } from './writers.ts';

const CONTROL = 0x20;

export class Copied {
  readonly #job: CopierJob;
  readonly #writer: Writer;
  readonly #from: TopicReader;
  readonly #to: TopicReader;
  readonly #input: string[][];
  readonly #output: string[][];
  /** Behind the last committed record of the input, per partition. */
  readonly #end: number[];

  constructor(job: CopierJob, writer: Writer) {
    this.#job = job;
    this.#writer = writer;
    this.#from = new TopicReader(job.from, job.partitions);
    this.#to = new TopicReader(job.to, job.partitions);
    this.#input = Array.from({ length: job.partitions }, () => []);
    this.#output = Array.from({ length: job.partitions }, () => []);
    this.#end = new Array<number>(job.partitions).fill(0);
  }

  get records(): number {
    return this.#output.reduce((sum, values) => sum + values.length, 0);
  }

  /** Reads on; throws when something in the output is not what comes next in the input; gives what is still missing. */
  async missing(): Promise<number> {
    await this.#with(async wire => {
      (await this.#to.read(wire)).forEach((records, p) => {
        this.#output[p]?.push(...records.map(({ value }) => value.toString()));
      });
      (await this.#from.read(wire)).forEach((records, p) => {
        this.#input[p]?.push(...records.map(({ value }) => value.toString()));
        this.#end[p] = (records.at(-1)?.offset ?? (this.#end[p] ?? 0) - 1) + 1;
      });
    });
    let missing = 0;
    for (const [p, input] of this.#input.entries()) {
      const output = this.#output[p] ?? [];
      const odd = output.findIndex((value, i) => value !== input[i]);
      if (odd >= 0) throw new Error(`${this.#job.to}-${p}: "${output[odd]}" where "${input[odd]}" is due (${odd})`);
      missing += input.length - output.length;
    }
    // Apache Kafka and ours may end transactions a moment after their writers are gone: what is open may yet be input.
    return missing + (await this.open());
  }

  /** How many offsets lie between the last stable offsets and the high watermarks of both topics. */
  async open(): Promise<number> {
    const { from, to, partitions } = this.#job;
    return this.#with(async wire => {
      let open = 0;
      for (const topic of [from, to]) {
        for (let p = 0; p < partitions; p++) {
          open += (await wire.endOffset(topic, p, 'uncommitted')) - (await wire.endOffset(topic, p, 'committed'));
        }
      }
      return open;
    });
  }

  /** At the end: what was acked is in the input, what was aborted is there for those who ask, positions are where they
   * belong. */
  async check(): Promise<void> {
    const { from, to, partitions, id } = this.#job;
    const input = new Set(this.#input.flat());
    if (input.size !== this.#input.flat().length) throw new Error(`${from}: records are there twice`);
    expectAll(`${from}, committed`, this.#writer.committed, input);
    const lost = [...this.#writer.aborted, ...this.#writer.left];
    if (lost.some(value => input.has(value))) throw new Error(`${from}: aborted records were read`);
    const everything = await this.#with(async wire => {
      const values: string[] = [];
      for (const topic of [from, to]) for (let p = 0; p < partitions; p++) values.push(...(await all(wire, topic, p)));
      for (let p = 0; p < partitions; p++) {
        const position = await wire.fetchOffset(id, from, p);
        if (position.error !== 0 || position.offset < (this.#end[p] ?? 0)) {
          throw new Error(`${id} is at ${position.offset} of ${from}-${p}, whose records end at ${this.#end[p]}`);
        }
      }
      return new Set(values);
    });
    expectAll(`${from} and ${to}, aborted`, lost, everything);
  }

  async #with<T>(action: (wire: Wire) => Promise<T>): Promise<T> {
    const wire = await Wire.connect(this.#job.bootstrap);
    try {
      return await action(wire);
    } finally {
      wire.close();
    }
  }
}

function expectAll(what: string, values: readonly string[], found: ReadonlySet<string>): void {
  const missing = values.filter(value => !found.has(value));
  if (missing.length > 0) throw new Error(`${what}: ${missing.length} are not there, the first "${missing[0]}"`);
}

/** Every record of a partition, whatever became of its transaction. */
async function all(wire: Wire, topic: string, partition: number): Promise<string[]> {
  const values: string[] = [];
  const end = await wire.endOffset(topic, partition, 'uncommitted');
  for (let at = 0; at < end; ) {
    const answer = await wire.fetch(topic, partition, at, { maxBytes: 4_000_000 });
    const batches = decodeBatches(answer.records);
    const data = batches.filter(batch => (batch.attributes & CONTROL) === 0);
    values.push(...data.flatMap(decodeRecords).map(({ value }) => value.toString()));
    at = (batches.at(-1)?.lastOffset ?? end) + 1;
  }
  return values;
}
