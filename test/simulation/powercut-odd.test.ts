import { powerCuts } from './powercut.ts';

powerCuts(1);
