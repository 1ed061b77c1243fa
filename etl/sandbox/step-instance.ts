import type { Failure, Guest, GuestHost } from '../abi/guest.ts';
import { openGuest } from '../abi/open-guest.ts';
import { CELL, PHASE } from './cell.ts';
import { initFailed } from './errors.ts';
import { maskOf } from './mask.ts';
import type { ChainStepMessage } from './messages.ts';

/** More lines of one call are lost: nobody would be shown them anyway. */
const CALL_LOG_LINES = 100;

/** The instance of one step's module in one lane: made when it is needed, not used again once it has thrown. */
export class StepInstance {
  guest: Guest | null = null;
  /** The guest has not been given a record yet. */
  isFresh = false;
  private readonly index: number;
  private readonly step: ChainStepMessage;
  private readonly host: GuestHost;
  private readonly log: (level: number, line: string) => void;
  /** Takes secrets out of whatever is said. */
  private readonly mask: (text: string) => string;
  /** Log lines of the call under way: they count only when the call does. */
  private lines: [level: number, line: string][] = [];

  constructor(
    index: number,
    step: ChainStepMessage,
    host: Omit<GuestHost, 'log'>,
    log: (level: number, line: string) => void,
  ) {
    this.index = index;
    this.step = step;
    this.mask = maskOf(step.secrets);
    this.log = (level, line) => log(level, this.mask(line));
    const collect = (level: number, line: () => string): void => {
      if (this.lines.length < CALL_LOG_LINES) this.lines.push([level, line()]);
    };
    this.host = { ...host, log: collect };
  }

  /** Instantiates the module if it is not; kind `invalid`, code MODULE_INIT_FAILED when it refuses. */
  async start(): Promise<Guest> {
    if (this.guest) return this.guest;
    const { step, host } = this;
    host.cell[CELL.step] = this.index;
    this.dropLines();
    try {
      this.guest = await openGuest(step.abi, step.module, host, step.setup);
    } catch (error) {
      throw this.initFailed(error);
    } finally {
      host.cell[CELL.phase] = PHASE.host;
    }
    this.keepLines();
    this.isFresh = true;
    return this.guest;
  }

  /** The instance is not used again. */
  close(): void {
    this.guest?.close();
    this.guest = null;
  }

  /** The call under way counts. */
  keepLines(): void {
    for (const [level, line] of this.lines) this.log(level, line);
    this.lines = [];
  }

  dropLines(): void {
    this.lines = [];
  }

  /** Where in the module it happened, for whoever asked for that. */
  trace(error: unknown): void {
    if (this.step.traces && error instanceof Error && error.stack) this.log(3, error.stack);
  }

  masked({ code, reason }: Failure): Failure {
    return { code, reason: this.mask(reason) };
  }

  initFailed(error: unknown): Error {
    return initFailed(this.step.name, this.mask(error instanceof Error ? error.message : String(error)));
  }
}
