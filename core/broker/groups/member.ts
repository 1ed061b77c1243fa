import type { Clock, Timer } from '../../base/clock.ts';

export interface MemberProtocol {
  name: string;
  metadata: Uint8Array;
}

/** Who sits at the other end: for DescribeGroups and member ids. */
export interface ClientInfo {
  clientId: string;
  /** As Kafka shows it: "/127.0.0.1". */
  clientHost: string;
}

export interface JoinReply {
  errorCode: number;
  generationId: number;
  protocolType: string | null;
  protocolName: string | null;
  leader: string;
  skipAssignment: boolean;
  memberId: string;
  members: { memberId: string; groupInstanceId: string | null; metadata: Uint8Array }[];
}

export interface SyncReply {
  errorCode: number;
  protocolType: string | null;
  protocolName: string | null;
  assignment: Uint8Array;
}

export interface MemberState extends ClientInfo {
  memberId: string;
  groupInstanceId: string | null;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  protocols: MemberProtocol[];
  assignment: Uint8Array;
}

/** One member of a classic group. A member that waits for an answer of ours is alive by definition. */
export class Member implements MemberState {
  memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  protocols: MemberProtocol[];
  assignment: Uint8Array;
  /** Answers the JoinGroup or SyncGroup that is held. */
  joinReply: ((reply: JoinReply) => void) | null = null;
  syncReply: ((reply: SyncReply) => void) | null = null;
  private deadline = 0;
  private timer: Timer | null = null;

  constructor(state: MemberState) {
    this.memberId = state.memberId;
    this.groupInstanceId = state.groupInstanceId;
    this.clientId = state.clientId;
    this.clientHost = state.clientHost;
    this.sessionTimeoutMs = state.sessionTimeoutMs;
    this.rebalanceTimeoutMs = state.rebalanceTimeoutMs;
    this.protocols = state.protocols;
    this.assignment = state.assignment;
  }

  get waits(): boolean {
    return this.joinReply !== null || this.syncReply !== null;
  }

  metadataFor(protocol: string | null): Uint8Array {
    return this.protocols.find(({ name }) => name === protocol)?.metadata ?? new Uint8Array();
  }

  /** True when these are the protocols that it joined with. */
  matches(protocols: readonly MemberProtocol[]): boolean {
    return (
      protocols.length === this.protocols.length &&
      protocols.every(({ name, metadata }, i) => {
        const own = this.protocols[i];
        return own !== undefined && own.name === name && Buffer.compare(own.metadata, metadata) === 0;
      })
    );
  }

  /** Starts the session anew. One timer runs a member; a heartbeat only moves the deadline. */
  touch(clock: Clock, onExpiry: (member: Member) => void): void {
    this.deadline = clock.monotonic() + this.sessionTimeoutMs;
    if (this.timer) return;
    const arm = (delayMs: number): void => {
      this.timer = clock.setTimer(delayMs, () => {
        const left = this.deadline - clock.monotonic();
        if (this.waits) arm(this.sessionTimeoutMs);
        else if (left > 0) arm(left);
        else {
          this.timer = null;
          onExpiry(this);
        }
      });
    };
    arm(this.sessionTimeoutMs);
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = null;
  }
}
