/** How many writes of one partition may be under way: halved when the system throttles, one more after a full
 * window of accepted writes (additive increase, multiplicative decrease). */
export class Window {
  size: number;
  private readonly most: number;
  private accepted = 0;

  constructor(most: number) {
    this.most = Math.max(1, Math.floor(most));
    this.size = this.most;
  }

  onAccepted(): void {
    if (this.size >= this.most || ++this.accepted < this.size) return;
    this.accepted = 0;
    this.size++;
  }

  onThrottled(): void {
    this.accepted = 0;
    this.size = Math.max(1, this.size >> 1);
  }
}
