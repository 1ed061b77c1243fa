import type { Abi } from '../sandbox/sandbox.ts';
import { CoreGuest, initJson } from './core.ts';
import { FluvioGuest } from './fluvio.ts';
import type { Guest, GuestHost, GuestSetup } from './guest.ts';
import { ON_RECORD, RecordGuest } from './record-component.ts';
import { RedpandaGuest } from './redpanda.ts';

/** Instantiates and initialises a module of this ABI. Throws InitRefused, GuestFault or what V8 throws. */
export async function openGuest(
  abi: Abi,
  module: WebAssembly.Module,
  host: GuestHost,
  setup: GuestSetup,
): Promise<Guest> {
  switch (abi) {
    case 'redpanda':
      return RedpandaGuest.open(module, host, setup);
    case 'fluvio':
      return new FluvioGuest(module, host, setup);
    case 'millstream-component':
      if (WebAssembly.Module.exports(module).some(({ name }) => name === ON_RECORD)) {
        return new RecordGuest(module, host, setup, initJson(setup));
      }
      return new CoreGuest(module, host, initJson(setup), setup.fuel);
    case 'millstream-core':
      return new CoreGuest(module, host, initJson(setup), setup.fuel);
  }
}
