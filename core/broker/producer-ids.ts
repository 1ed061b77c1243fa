import type { Catalogue } from './catalogue.ts';

const BLOCK = 1000;

/** Hands out producer ids from blocks that were made durable first, so that no crash hands one out twice. */
export class ProducerIds {
  private readonly catalogue: Catalogue;
  private next = 0;
  private end = 0;
  private refill: Promise<void> | null = null;

  constructor(catalogue: Catalogue) {
    this.catalogue = catalogue;
  }

  async take(): Promise<number> {
    while (this.next >= this.end) {
      this.refill ??= this.reserve().finally(() => {
        this.refill = null;
      });
      await this.refill;
    }
    return this.next++;
  }

  private async reserve(): Promise<void> {
    const from = this.catalogue.nextProducerId;
    this.catalogue.nextProducerId = from + BLOCK;
    await this.catalogue.save();
    this.next = from;
    this.end = from + BLOCK;
  }
}
