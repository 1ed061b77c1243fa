import { powerCuts } from './powercut.ts';

powerCuts(0);
