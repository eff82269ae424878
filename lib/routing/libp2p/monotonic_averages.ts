/**
 * Keeps libp2p's time limits sound when the system's clock is stepped. Imported for its effect.
 *
 * `AdaptiveTimeout` takes its limits from a moving average that weighs by the calendar time between two values. A clock
 * that is set back by an hour makes that weight minus infinity and the average not a number, for as long as the process
 * lives: then each dial, each question and each look at a connection fails at once, the node loses all its peers and
 * takes in none. Here the weight goes by monotonic time.
 *
 * @module
 */
import { MovingAverage } from "@libp2p/utils";

const push = MovingAverage.prototype.push;

MovingAverage.prototype.push = function (
  this: MovingAverage,
  value: number,
  time: number = performance.now(),
): void {
  push.call(this, value, time);
};
