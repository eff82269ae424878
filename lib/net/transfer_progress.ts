/**
 * How a body tells how far it is. Whoever moves its bytes adds to a number, which is all that it costs.
 *
 * @module
 */
/** One body on its way. */
export interface TransferProgress {
  /** Bytes that have moved. */
  bytes: number;
  /**
   * It is over. Later calls change nothing.
   *
   * @param isComplete Whether all of it has moved.
   */
  over(isComplete: boolean): void;
}
