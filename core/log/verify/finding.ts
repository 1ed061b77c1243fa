/** One thing that is not as it should be. */
export interface Finding {
  /** `problem`: something is damaged or lost. `note`: explained by how the last process ended; the next start sees to
   * it. */
  severity: 'problem' | 'note';
  /** Path below the directory that was looked at. */
  file: string;
  /** Byte (logs and indexes) or line (text files) in the file; null when the file as a whole is meant. */
  position: number | null;
  /** What is there, as opposed to what should be. */
  what: string;
  /** What it means to whoever reads and writes the log. */
  meaning: string;
}

export type Report = (finding: Finding) => void;
