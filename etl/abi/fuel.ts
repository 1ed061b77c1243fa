import type { Failure } from './guest.ts';

/*
 * Fuel, host side: how many WebAssembly instructions a module may run for one record. The module counts by itself
 * (etl/sandbox/fuel/meter.ts) and exports what is left, an i64. It begins with so much that nothing the module does before its
 * first record ends it: that is what the time to start is for.
 */

export const FUEL = 'FUEL';

/** So much may cost what a module does once, with the first record of an instance: building its tables, say. */
const WARM_UP = 4_000_000n;

/** What the instances of a step are told. Can be cloned. */
export interface FuelSetup {
  perRecord: number;
  /** The export that holds what is left. */
  name: string;
}

/** The fuel of one instance. */
export class Fuel {
  readonly perRecord: number;
  /** The record that comes now may cost more: it comes once more. */
  isWarmingUp = false;
  private readonly left: { value: bigint };
  private readonly full: bigint;

  constructor(exports: Readonly<Record<string, unknown>>, { perRecord, name }: FuelSetup) {
    this.left = exports[name] as { value: bigint };
    this.perRecord = perRecord;
    this.full = BigInt(perRecord);
  }

  /** For the record that comes now. */
  fill(): void {
    this.left.value = this.isWarmingUp ? this.full + WARM_UP : this.full;
  }

  /** It was used up, and this is why the module trapped. */
  get isSpent(): boolean {
    return this.left.value < 0n;
  }
}

/** null: the step has no fuel, and its module does not count. */
export function fuelOf(exports: Readonly<Record<string, unknown>>, setup?: FuelSetup | null): Fuel | null {
  return setup ? new Fuel(exports, setup) : null;
}

/** What is said of the record that used it up. */
export const outOfFuel = ({ perRecord }: Fuel): Failure => ({
  code: FUEL,
  reason: `the module used more than ${perRecord} instructions for one record`,
});
