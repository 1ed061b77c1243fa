/*
 * What the modules and sinks of the simulation do to a record, in the test's own words: by the first character of its
 * value. A second character `x` makes the warehouse refuse it.
 */

export interface Outcome {
  /** Copies on the default output. */
  emitted: number;
  /** To the output "suspect". */
  routed: boolean;
  /** Died of it. */
  dead: { step: string; code: string } | null;
}

const NOTHING: Outcome = { emitted: 0, routed: false, dead: null };
const PASSED: Outcome = { ...NOTHING, emitted: 1 };

/** Pipeline `one`: a step that passes everything on, then `sort`. */
export function one(value: string): Outcome {
  switch (value.charAt(0)) {
    case 'D':
      return NOTHING;
    case '2':
      return { ...NOTHING, emitted: 2 };
    case 'R':
      return { ...NOTHING, routed: true };
    case 'F':
      return { ...NOTHING, dead: { step: 'sort', code: 'REFUSED' } };
    case 'T':
      return { ...NOTHING, dead: { step: 'sort', code: 'TRAP' } };
    default:
      return PASSED;
  }
}

/** Pipeline `two`: one step, `sift`. */
export function two(value: string): Outcome {
  switch (value.charAt(0)) {
    case 'd':
      return NOTHING;
    case 'r':
      return { ...NOTHING, routed: true };
    case 'f':
      return { ...NOTHING, dead: { step: 'sift', code: 'REFUSED' } };
    default:
      return PASSED;
  }
}

/** Whether the warehouse takes it. */
export const isTaken = (value: string): boolean => value[1] !== 'x';

export const KINDS = 'pppppppppppppppppDD22RRFFFTddrrff'.split('');
