/** Scripted faults: which call they hit, and what happens to it instead of, before or after its proper work. */
import { type Clock, sleep } from '../../../core/base/clock.ts';
import type { RestField } from './model/schema.ts';
import type { Call } from './journal.ts';

/** What is done to a call. */
export type Action =
  /** Waits, then goes on as usual. */
  | { kind: 'delay'; ms: number }
  /** Breaks the connection, before anything is applied or after all is. */
  | { kind: 'kill'; when: 'before' | 'after' }
  /** Applies, then never answers: on REST this request, on AppendRows this request and all later ones of the connection. */
  | { kind: 'drop-ack' }
  /** REST: an error envelope; nothing is applied. `status` only when the reason does not give it. */
  | { kind: 'rest-error'; reason: string; message: string; status?: number }
  /** REST: any body, as proxies send it. */
  | { kind: 'http'; status: number; body: string; type?: string }
  /** gRPC: a status. AppendRows: ends the connection, or with `inBand` is this request's answer. */
  | { kind: 'grpc-error'; code: number; message: string; inBand?: boolean }
  /** Adds a column to the call's table, then goes on: schema drift in the middle of a load. */
  | { kind: 'add-column'; field: RestField }
  /** Drops the call's table, then goes on. */
  | { kind: 'drop-table' };

export interface Rule {
  /** Left out: all. */
  method?: string;
  table?: string;
  stream?: string;
  /** The first matching call that is hit, counted from 1 (default 1). */
  from?: number;
  /** How many matching calls are hit (default 1; Infinity, or 0 over HTTP, for all). */
  times?: number;
  /** Hit only within this time after the rule was made: an outage. With it `times` is without end unless given. */
  forMs?: number;
  when?: (call: Call) => boolean;
  action: Action;
}

interface Armed {
  readonly id: number;
  readonly rule: Rule;
  readonly madeAt: number;
  seen: number;
  hits: number;
}

export class Faults {
  private armed: Armed[] = [];
  private count = 0;
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** @returns a number to remove it by */
  add(rule: Rule): number {
    const id = ++this.count;
    this.armed.push({ id, rule, madeAt: this.clock.now(), seen: 0, hits: 0 });
    return id;
  }

  remove(id: number): void {
    this.armed = this.armed.filter(each => each.id !== id);
  }

  clear(): void {
    this.armed = [];
  }

  /** How often each rule has hit. */
  list(): { id: number; rule: Rule; hits: number }[] {
    return this.armed.map(({ id, rule, hits }) => ({ id, rule, hits }));
  }

  /** The actions for a call, in the order in which their rules were made. */
  match(call: Call): Action[] {
    if (this.armed.length === 0) return [];
    const out: Action[] = [];
    for (const each of this.armed) {
      const { rule } = each;
      if (rule.method !== undefined && rule.method !== call.method) continue;
      if (rule.table !== undefined && rule.table !== call.table) continue;
      if (rule.stream !== undefined && rule.stream !== call.stream) continue;
      if (rule.when && !rule.when(call)) continue;
      if (rule.forMs !== undefined && this.clock.now() >= each.madeAt + rule.forMs) continue;
      each.seen++;
      const wanted = rule.times ?? (rule.forMs === undefined ? 1 : 0);
      const times = wanted === 0 ? Number.POSITIVE_INFINITY : wanted;
      if (each.seen < (rule.from ?? 1) || each.hits >= times) continue;
      each.hits++;
      out.push(rule.action);
    }
    return out;
  }

  wait(ms: number, signal?: AbortSignal): Promise<void> {
    return sleep(this.clock, ms, signal);
  }
}
