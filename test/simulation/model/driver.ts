import { turns } from '../life.ts';
import { type Client, GROUP, PARTITIONS, TIMEOUT_MS } from './broker-and-model.ts';
import { PlainRequests } from './plain-requests.ts';
import { type Outcome, TransactionModel } from './transaction-model.ts';

/*
 * Broker against model: random requests, one after the other, and restarts in between; every answer is compared. What
 * was done is kept as lines, so that a failing seed tells its story.
 */
const OPERATIONS = 60;
const TOPICS = ['a', 'b'];

export class Driver extends PlainRequests {
  async run(): Promise<void> {
    await this.start();
    for (let i = 0; i < OPERATIONS; i++) {
      const operations = this.operations();
      const weights = operations.map(([weight]) => weight);
      let luck = this.random.float() * weights.reduce((sum, weight) => sum + weight, 0);
      const [, name, run] = operations.find(([weight]) => (luck -= weight) < 0) ?? operations[0] ?? [];
      if (name && run) await this.operation(name, run);
    }
    await this.operation('restart', () => this.restart('cut'));
    for (const topic of this.topics.keys()) {
      for (let partition = 0; partition < PARTITIONS; partition++) await this.fetch(topic, partition, null);
    }
    await this.restart('close');
  }

  protected operations(): [weight: number, name: string, run: () => Promise<string>][] {
    const [topic, partition] = [this.pick(TOPICS), this.below(PARTITIONS)];
    const client = this.clients[this.below(this.clients.length)];
    return [
      [8, 'produce', () => this.producePlain(topic, partition)],
      [8, 'produce idempotent', () => this.produceIdempotent(topic, partition)],
      [5, 'init', () => this.init()],
      ...(client
        ? ([
            [8, 'add', () => this.add(client, topic, partition)],
            [20, 'produce in transaction', () => this.produceIn(client, topic, partition)],
            [4, 'offsets in transaction', () => this.offsetsIn(client, topic, partition)],
            [12, 'end', () => this.end(client)],
          ] as [number, string, () => Promise<string>][])
        : []),
      [16, 'fetch', () => this.fetch(topic, partition, this.below(40))],
      [4, 'list offsets', () => this.listOffsets(topic, partition)],
      [4, 'delete records', () => this.deleteRecords(topic, partition)],
      [4, 'commit offset', () => this.commitOffset(topic, partition)],
      [5, 'fetch offset', () => this.fetchOffset(topic, partition)],
      [3, 'create topic', () => this.createTopic(topic)],
      [1, 'delete topic', () => this.deleteTopic(topic)],
      [3, 'time passes', () => this.advance()],
      [4, 'restart', () => this.restart(this.pick(['close', 'kill', 'cut', 'cut']))],
    ];
  }

  protected async operation(name: string, run: () => Promise<string>): Promise<void> {
    this.story.push(name);
    const said = await run();
    this.story[this.story.length - 1] = `${name}: ${said}`;
    if (this.failure) throw this.failure;
    const isRefused = /error [1-9]/.test(said);
    const counted = this.counts.get(name) ?? [0, 0];
    counted[isRefused ? 1 : 0]++;
    this.counts.set(name, counted);
  }

  protected async advance(): Promise<string> {
    // What is under way unseen ends first: it would be under another time.
    await turns(100);
    const ms = this.below(50_000);
    this.clock.advance(ms);
    await turns(150);
    for (const transaction of this.transactions.values()) {
      if (transaction.state !== 'Ongoing' || this.clock.now() - transaction.startedAt < TIMEOUT_MS) continue;
      this.finish(transaction, 'abort', transaction.epoch + 1);
    }
    return `${ms} ms`;
  }

  protected async init(): Promise<string> {
    const id = this.pick(['t1', 't2', 't3']);
    const version = id === 't1' ? 1 : 2;
    let model = this.transactions.get(id);
    if (!model) this.transactions.set(id, (model = new TransactionModel(version, TIMEOUT_MS)));
    const { aborts, epoch } = model.init();
    const asked = { transactionalId: id, transactionTimeoutMs: TIMEOUT_MS };
    const answer = await this.life.ask(22, 4, asked);
    if (aborts) this.finish(model, 'abort', model.epoch + 1);
    const isNew = [...this.transactions.values()].every(({ producerId }) => producerId !== answer.producerId);
    if (model.producerId >= 0) this.same(`producer of ${id}`, answer.producerId, model.producerId);
    else if (!isNew || answer.producerId === this.producer.producerId)
      throw new Error(`${answer.producerId} is given twice`);
    this.same(`epoch of ${id}`, answer.producerEpoch, epoch);
    Object.assign(model, { producerId: answer.producerId, epoch, state: 'Empty' });
    const client = { id, epoch, next: new Map<string, number>(), last: null };
    const before = this.clients.findIndex(other => other.id === id);
    // Most of the time the one before is gone, now and then it goes on as a zombie.
    if (before >= 0 && this.random.float() < 0.7) this.clients.splice(before, 1);
    this.clients.push(client);
    return `${id}: producer ${answer.producerId}, epoch ${epoch}, error 0`;
  }

  protected async add({ id, epoch }: Client, topic: string, partition: number): Promise<string> {
    const model = this.modelOf(id);
    const answer = await this.life.ask(24, 3, {
      v3AndBelowTransactionalId: id,
      v3AndBelowProducerId: model.producerId,
      v3AndBelowProducerEpoch: epoch,
      v3AndBelowTopics: [{ name: topic, partitions: [partition] }],
    });
    const code = answer.resultsByTopicV3AndBelow[0]?.resultsByPartition[0]?.partitionErrorCode;
    const expected = this.topics.has(topic) ? model.fence(epoch) : 3;
    this.same(`${id} adds ${topic}`, code, expected);
    if (expected === 0) {
      model.begin(this.clock.now());
      model.partitions.add(`${topic}/${partition}`);
    }
    return `${id}, epoch ${epoch}, ${topic}-${partition}, error ${expected}`;
  }

  protected async produceIn(client: Client, topic: string, partition: number): Promise<string> {
    const { id, epoch } = client;
    const model = this.modelOf(id);
    const key = `${topic}/${partition}`;
    const next = client.next.get(key) ?? 0;
    const { last } = client;
    const isRetry = last !== null && last.key === key && this.random.float() < 0.2;
    const values = this.values();
    const { producerId } = model;
    const write = isRetry ? last.write : { producerId, epoch, sequence: next, isTransactional: true, values };
    const version = model.version === 2 ? 12 : 9;
    const said = await this.produce(topic, partition, write, id, version, () => {
      if (model.fence(epoch) !== 0) return 47;
      if (version === 9) return model.state === 'Ongoing' && model.partitions.has(key) ? 0 : 48;
      model.begin(this.clock.now());
      model.partitions.add(key);
      return 0;
    });
    if (said.endsWith('error 0') && !isRetry) {
      client.next.set(key, next + values.length);
      client.last = { key, write };
    }
    return `${id}${isRetry ? ' again' : ''}, ${said}`;
  }

  protected async offsetsIn({ id, epoch }: Client, topic: string, partition: number): Promise<string> {
    const model = this.modelOf(id);
    const offset = this.below(100);
    const isImplicit = model.version === 2;
    const identity = { transactionalId: id, producerId: model.producerId, producerEpoch: epoch, groupId: GROUP };
    if (!isImplicit && this.random.float() < 0.8) {
      this.same(`${id} adds offsets`, (await this.life.ask(25, 3, identity)).errorCode, model.fence(epoch));
      if (model.fence(epoch) === 0) {
        model.begin(this.clock.now());
        model.partitions.add('group');
      }
    }
    const partitions = [{ partitionIndex: partition, committedOffset: offset, committedMetadata: '' }];
    const answer = await this.life.ask(28, isImplicit ? 5 : 3, { ...identity, topics: [{ name: topic, partitions }] });
    const isAdmitted = isImplicit || (model.state === 'Ongoing' && model.partitions.has('group'));
    const admitted = model.fence(epoch) !== 0 ? 47 : isAdmitted ? 0 : 48;
    const expected = this.topics.has(topic) ? admitted : 3;
    this.same(`${id} commits an offset`, answer.topics[0]?.partitions[0]?.errorCode, expected);
    // Positions of unknown topics alone begin no transaction.
    if (expected === 0) {
      model.begin(this.clock.now());
      model.partitions.add('group');
      model.positions.set(`${topic}/${partition}`, this.positionOf(offset));
    }
    return `${id}, ${topic}-${partition} to ${offset}, error ${expected}`;
  }

  protected async end(client: Client): Promise<string> {
    const { id, epoch } = client;
    const model = this.modelOf(id);
    const outcome = this.random.float() < 0.6 ? 'commit' : 'abort';
    const isNew = model.version === 2;
    const { errorCode, ends } = model.end(epoch, outcome);
    const identity = { transactionalId: id, producerId: model.producerId, producerEpoch: epoch };
    const answer = await this.life.ask(26, isNew ? 5 : 3, { ...identity, committed: outcome === 'commit' });
    this.same(`${id} ends`, answer.errorCode, errorCode);
    if (ends) this.finish(model, ends, isNew ? model.epoch + 1 : model.epoch);
    if (errorCode === 0 && isNew) {
      this.same(`epoch of ${id}`, answer.producerEpoch, model.epoch);
      // Some answers get lost: the client stays where it was, and asks again.
      if (this.random.float() < 0.8) {
        Object.assign(client, { epoch: model.epoch, last: null });
        client.next.clear();
      }
    }
    return `${id}, epoch ${epoch}, ${outcome}, error ${errorCode}`;
  }

  protected finish(model: TransactionModel, outcome: Outcome, epoch: number): void {
    for (const logs of this.topics.values()) for (const log of logs) log.mark(model.producerId, epoch, outcome);
    for (const [key, position] of outcome === 'commit' ? model.positions : []) {
      if (position.writtenAs > (this.positions.get(key)?.writtenAs ?? -1)) this.positions.set(key, position);
    }
    model.ended(outcome, epoch);
  }

  protected modelOf(id: string): TransactionModel {
    const model = this.transactions.get(id);
    if (!model) throw new Error(`nobody has begun ${id}`);
    return model;
  }
}
