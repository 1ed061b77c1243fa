/** Consumer groups: members share the partitions, take over from each other, and go on where the group had committed. */
import { afterEach, describe, expect, inject, test } from 'vitest';
import { eventually } from '../servers/process.ts';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';
import { createTopic, unique } from './clients/all.ts';
import {
  type JoinGroup,
  joinWithConfluent,
  joinWithJava,
  joinWithKafkajs,
  joinWithPlatformatic,
  type Member,
} from './clients/member.ts';

const bootstrap = inject('bootstrap');
const PARTITIONS = [0, 1, 2, 3];

const members: { name: string; first: JoinGroup; second: JoinGroup }[] = [];
const add = (name: string, first: JoinGroup, second = first): void => void members.push({ name, first, second });
add('kafkajs', joinWithKafkajs(bootstrap));
add('@platformatic/kafka', joinWithPlatformatic(bootstrap));
const python = requireTool('confluent');
const classPath = requireTool('kafka');
if (python !== null) add('confluent-kafka', joinWithConfluent(python, bootstrap));
if (python !== null && classPath !== null) {
  add('Java beside confluent-kafka', joinWithJava(classPath, bootstrap), joinWithConfluent(python, bootstrap));
}

const open = new Set<Member>();
afterEach(async () => {
  await Promise.allSettled([...open].map(member => member.leave()));
  open.clear();
});

describe.each(members)('$name', ({ first, second }) => {
  test('members share the partitions, and the group goes on when one joins or leaves', async () => {
    const shared = await createTopic('group', PARTITIONS.length);
    const group = unique('members');
    const wire = await Wire.connect(bootstrap);
    const sent: string[] = [];
    const produce = async (): Promise<void> => {
      for (const partition of PARTITIONS) {
        const values = [0, 1, 2].map(i => `${partition}-${sent.length}-${i}`);
        sent.push(...values);
        const batch = encodeBatch({ values: values.map(value => Buffer.from(value)) });
        expect((await wire.produce(shared, partition, batch)).error).toBe(0);
      }
    };
    const join = async (how: JoinGroup): Promise<Member> => {
      const member = await how(group, shared);
      open.add(member);
      return member;
    };
    const all = (...who: Member[]): string[] => who.flatMap(member => member.read).toSorted();
    const sharing = (...who: Member[]): Promise<true> =>
      eventually(`${who.length} members hold ${PARTITIONS.join()}`, () => {
        const held = who.flatMap(member => member.held).toSorted((a, b) => a - b);
        return (who.every(member => member.held.length > 0) && held.join() === PARTITIONS.join()) || undefined;
      });

    await produce();
    const one = await join(first);
    await sharing(one);
    await eventually('the first member reads everything', () => one.read.length >= sent.length || undefined);
    expect(all(one)).toEqual(sent.toSorted());

    const two = await join(second);
    await sharing(one, two);
    expect(two.held).toHaveLength(2);
    await produce();
    await eventually('both read on', () => all(one, two).length >= sent.length || undefined);
    expect(new Set(all(one, two))).toEqual(new Set(sent));
    expect(two.read.length).toBeGreaterThan(0);

    await one.leave();
    open.delete(one);
    await sharing(two);
    await produce();
    await eventually('the second reads on alone', () => new Set(all(one, two)).size >= sent.length || undefined);
    expect(new Set(all(one, two))).toEqual(new Set(sent));
    // At least once: what a member had read but not committed when it left may come twice, nothing else does.
    expect(all(one, two).length).toBeLessThanOrEqual(sent.length + PARTITIONS.length * 3);
    wire.close();
  });
});
