import { sleep } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import type { Cluster } from '../../core/client/cluster.ts';
import { committedOffsets } from '../../core/client/group-offsets.ts';
import { keyOf } from '../../core/client/topic-partition.ts';
import { sinkReplayTopic, stepReplayTopic, toReplayRecord } from '../../core/engine/replay.ts';
import { type Command, EXIT, type Io, text, usageError, type Values, wholeNumber } from './command.ts';
import { ReplaySender, type SentRange } from './dead-letter-send.ts';
import {
  deadTopic,
  type Destination,
  endsOfDead,
  ensureReplayTopic,
  isRead,
  type Letter,
  lettersOf,
  replayedBefore,
  replayKey,
  settled,
} from './dead-letter-topics.ts';
import { type Where, WHERE_OPTION, whereOf } from './dead-letter-where.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

const POLL_MS = 100;
/** Sinks join their groups in the background after a start. */
const JOINS_WITHIN_MS = 5000;
/** Progress is told at most this often. */
const TELL_MS = 1000;

export const replay: Command = {
  usage: 'dead-letter replay PIPELINE [--where EXPR ...] [--id ID ...] [--to sink NAME] [--dry-run] [--max-replays N]',
  summary: 'give refused records to the step or sink that refused them once more',
  words: [1, 2],
  options: {
    ...BROKERS_OPTION,
    ...WHERE_OPTION,
    id: { type: 'string', multiple: true, help: 'only this letter; may be repeated' },
    to: { type: 'string', help: 'sink NAME: to this sink alone, whoever refused them' },
    'dry-run': { type: 'boolean', help: 'say what would be replayed, change nothing' },
    'max-replays': { type: 'string', help: 'leave letters that were replayed this often already (default 3)' },
    wait: { type: 'string', help: 'give up waiting after so many seconds without progress (default 30)' },
  },
  async run(words, values, io) {
    const options = optionsOf(words, values);
    return withCluster(values, io, cluster => new Replayer(cluster, io, options).run());
  },
};

interface Options {
  pipeline: string;
  where: Where;
  ids: ReadonlySet<string> | null;
  sink: string | null;
  dryRun: boolean;
  maxReplays: number;
  waitMs: number;
}

/** `--to sink NAME` is an option with the value `sink` and a second word. */
function optionsOf(words: string[], values: Values): Options {
  const to = text(values, 'to');
  const [pipeline = '', name] = words;
  const sink = to?.startsWith('sink ') ? to.slice(5).trim() : to === 'sink' ? name : undefined;
  if (to !== undefined && !sink) throw usageError('--to takes `sink NAME`, such as --to sink warehouse');
  if (name !== undefined && to !== 'sink') throw usageError(`usage: millstream ${replay.usage}`);
  const ids = (values['id'] ?? []) as string[];
  return {
    pipeline,
    where: whereOf((values['where'] ?? []) as string[]),
    ids: ids.length > 0 ? new Set(ids) : null,
    sink: sink ?? null,
    dryRun: values['dry-run'] === true,
    maxReplays: wholeNumber(values, 'max-replays', 1, 1_000_000) ?? 3,
    waitMs: (wholeNumber(values, 'wait', 0, 86_400) ?? 30) * 1000,
  };
}

/** One destination of this run. */
interface Road extends Destination {
  isRead: boolean;
  before: Set<string>;
  /** How many go there. */
  count: number;
  /** In its topic, what was sent. */
  sent: SentRange[];
}

/**
 * One run of the command: fence, plan, send, wait, count. Whoever has the pipeline's transactional id is the only one
 * who sends, so what it finds sent when it plans is all that was. A dry run takes nothing from anybody.
 */
class Replayer {
  private readonly cluster: Cluster;
  private readonly io: Io;
  private readonly options: Options;
  private readonly roads = new Map<string, Road>();
  private readonly skipped = new Map<string, number>();
  /** Places of the letters to replay, and where they go. */
  private readonly chosen = new Map<string, Road>();
  private toldAt: number;
  private readonly joinsUntil: number;

  constructor(cluster: Cluster, io: Io, options: Options) {
    this.cluster = cluster;
    this.io = io;
    this.options = options;
    this.toldAt = cluster.clock.now();
    this.joinsUntil = this.toldAt + JOINS_WITHIN_MS;
  }

  async run(): Promise<number> {
    const { io, cluster, options } = this;
    // Says that there is no such pipeline before anything is taken, and ends soon when there is no broker.
    await endsOfDead(cluster, options.pipeline);
    await this.checkSink();
    const sender = options.dryRun ? null : await ReplaySender.take(cluster, options.pipeline, io.signal);
    await this.choose();
    if (io.signal.aborted) return EXIT.problems;
    if (!sender || this.chosen.size === 0) {
      for (const { count, title } of this.roads.values()) {
        if (count > 0) io.out(`would replay ${letters(count)} into ${title}\n`);
      }
      if (this.chosen.size === 0) io.out('nothing to replay\n');
      this.tellSkipped();
      return EXIT.ok;
    }
    // What dies again lies behind.
    const ends = await endsOfDead(cluster, options.pipeline);
    await this.send(sender);
    const done = await this.awaitWork();
    const again = await this.diedAgain(ends);
    const left = this.sentCount() - done;
    io.out(
      `${count(done - again)} passed, ${count(again)} died again${left > 0 ? `, ${count(left)} not done yet` : ''}\n`,
    );
    this.tellSkipped();
    const complete = this.sentCount() === this.chosen.size && left === 0;
    return complete && again === 0 ? EXIT.ok : EXIT.problems;
  }

  /** The sink that was named is there. */
  private async checkSink(): Promise<void> {
    const { pipeline, sink } = this.options;
    if (sink === null || (await this.isRead(groupOf(pipeline, sink)))) return;
    throw usageError(`${pipeline} has no running sink ${sink}`);
  }

  /** Reads all letters once and decides for each; nothing is changed. */
  private async choose(): Promise<void> {
    const { pipeline, where, ids } = this.options;
    for await (const letter of lettersOf(this.cluster, pipeline, this.io.signal)) {
      if (!where(letter.letter) || (ids && !ids.has(letter.id))) continue;
      const decided = await this.decide(letter);
      if (typeof decided === 'string') this.skipped.set(decided, (this.skipped.get(decided) ?? 0) + 1);
      else {
        this.chosen.set(letter.place, decided);
        decided.count++;
      }
    }
  }

  /** Where it goes, or why it stays. */
  private async decide({ letter, place }: Letter): Promise<Road | string> {
    const { sink, maxReplays, pipeline } = this.options;
    if (letter.cut) return 'not whole: the record was too long for the dead-letter topic';
    if (letter.stage === 'source' && sink === null)
      return 'refused by the source: what it could not read is in no step';
    if (letter.replays >= maxReplays) return `at the limit of --max-replays ${maxReplays}`;
    const road = await this.road(sink ?? (letter.stage === 'sink' ? letter.name : null));
    if (!road.isRead) {
      return road.group === `millstream.${pipeline}`
        ? `${pipeline} is not running`
        : `${pipeline} has no running ${road.title}`;
    }
    return road.before.has(replayKey(place, letter)) ? `replayed before into ${road.title}` : road;
  }

  /** `sink` null: back into the steps. */
  private async road(sink: string | null): Promise<Road> {
    const { pipeline } = this.options;
    const topic = sink === null ? stepReplayTopic(pipeline) : sinkReplayTopic(pipeline, sink);
    let road = this.roads.get(topic);
    if (!road) {
      const group = groupOf(pipeline, sink);
      const title = sink === null ? `the steps of ${pipeline}` : `sink ${sink}`;
      if (!this.options.dryRun && !(await settled(this.cluster, topic, this.io.signal))) throw unsettled(topic);
      const before = await replayedBefore(this.cluster, topic, this.io.signal);
      road = { topic, group, title, before, isRead: await this.isRead(group), count: 0, sent: [] };
      this.roads.set(topic, road);
    }
    return road;
  }

  private isRead(group: string): Promise<boolean> {
    return isRead(this.cluster, group, this.joinsUntil, this.io.signal);
  }

  /** In transactions: an interrupted run has sent whole ones, whose letters the next run leaves. */
  private async send(sender: ReplaySender): Promise<void> {
    const { cluster, io, options } = this;
    for (const { topic, count } of this.roads.values()) if (count > 0) await ensureReplayTopic(cluster, topic);
    for await (const letter of lettersOf(cluster, options.pipeline, io.signal)) {
      const road = this.chosen.get(letter.place);
      if (!road) continue;
      if (io.signal.aborted) return;
      sender.add(
        road.topic,
        toReplayRecord(letter.record, letter.letter.replays + 1, letter.place, cluster.clock.now()),
      );
      if (sender.isFull) await this.commit(sender);
    }
    if (!io.signal.aborted) await this.commit(sender);
  }

  private async commit(sender: ReplaySender): Promise<void> {
    try {
      for (const range of await sender.commit(this.io.signal)) this.roads.get(range.topic)?.sent.push(range);
    } catch (error) {
      if (!(error instanceof MillstreamError && error.code === 'FENCED')) throw error;
      const so = `${count(this.sentCount())} of ${count(this.chosen.size)} letters`;
      const message = `another replay of ${this.options.pipeline} has begun; this one stops, with ${so} sent`;
      const help = 'No letter is sent twice. What the other one does not choose is still there: run this one again.';
      throw new MillstreamError('conflict', 'REPLAY_FENCED', message, { cause: error, help });
    }
    this.tell(`${count(this.sentCount())} of ${count(this.chosen.size)} sent`);
  }

  /** Waits until the groups have committed what was sent; how many letters that are. */
  private async awaitWork(): Promise<number> {
    const { cluster, io, options } = this;
    const total = this.sentCount();
    let moved = cluster.clock.now();
    for (let last = -1; ; ) {
      const done = await this.doneCount();
      if (done > last) moved = cluster.clock.now();
      last = done;
      if (done === total || io.signal.aborted) return done;
      this.tell(`${count(done)} of ${count(total)} replayed`);
      if (cluster.clock.now() - moved > options.waitMs) {
        io.err('no progress; what was sent is replayed once the pipeline goes on (see `millstream pipeline list`)\n');
        return done;
      }
      await sleep(cluster.clock, POLL_MS, io.signal);
    }
  }

  private async doneCount(): Promise<number> {
    let done = 0;
    for (const { topic, group, sent } of this.roads.values()) {
      if (sent.length === 0) continue;
      const one = { topic, partition: 0 };
      const next = (await committedOffsets(this.cluster, group, [one])).get(keyOf(one))?.offset ?? 0;
      for (const { from, to } of sent) done += Math.max(0, Math.min(next, to) - from);
    }
    return done;
  }

  private async diedAgain(ends: ReadonlyMap<number, number>): Promise<number> {
    const dead = new Set<string>();
    // Letters of a commit can be read once every older transaction in their partition has ended too.
    await settled(this.cluster, deadTopic(this.options.pipeline), this.io.signal);
    for await (const { letter } of lettersOf(this.cluster, this.options.pipeline, this.io.signal, ends)) {
      if (letter.replayOf && this.chosen.has(letter.replayOf)) dead.add(letter.replayOf);
    }
    return dead.size;
  }

  private sentCount(): number {
    return [...this.roads.values()].flatMap(road => road.sent).reduce((sum, { from, to }) => sum + to - from, 0);
  }

  private tell(progress: string): void {
    const now = this.cluster.clock.now();
    if (now - this.toldAt < TELL_MS) return;
    this.toldAt = now;
    this.io.err(`${progress}\n`);
  }

  private tellSkipped(): void {
    for (const [why, skipped] of this.skipped) this.io.err(`${letters(skipped)} left: ${why}\n`);
  }
}

function unsettled(topic: string): MillstreamError {
  const message = `a transaction is open in ${topic}: what was replayed before cannot be known`;
  return new MillstreamError('unavailable', 'OPEN_TRANSACTION', message, { help: 'Try again once it has ended.' });
}

/** `sink` null: of the steps. */
const groupOf = (pipeline: string, sink: string | null): string =>
  sink === null ? `millstream.${pipeline}` : `millstream.${pipeline}.${sink}`;

const count = (value: number): string => value.toLocaleString('en-US');
const letters = (value: number): string => `${count(value)} ${value === 1 ? 'dead letter' : 'dead letters'}`;
