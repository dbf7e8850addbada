// Work on many items, a few at a time. What is refused for the moment waits and comes again, so many times at most.

const AT_A_TIME = 4; // the service batches by itself; more would only wait there
const MOST_ATTEMPTS = 12;
const LONGEST_PAUSE_S = 120;

export class Queue {
  #work;
  #on;
  #waiting = [];
  #running = new Map();
  #attempts = new WeakMap();
  #resumeAt = 0;
  #timer = null;

  /**
   * @param {(item: any, signal: AbortSignal) => Promise<any>} work promises a result or throws.
   * @param {{
   *   started(item: any): void,
   *   waiting(item: any, seconds: number, problem: any): void,
   *   done(item: any, result: any): void,
   *   failed(item: any, problem: any): void,
   *   cancelled(item: any): void,
   *   changed(): void,
   * }} on is told of each step.
   */
  constructor(work, on) {
    this.#work = work;
    this.#on = on;
  }

  get idle() {
    return this.#waiting.length === 0 && this.#running.size === 0;
  }

  /** Adds items behind all others and starts at once. An item that is here already is not added twice. */
  add(...items) {
    for (const item of items) {
      if (this.#running.has(item) || this.#waiting.includes(item)) continue;
      this.#attempts.set(item, 0);
      this.#waiting.push(item);
    }
    this.#go();
  }

  /** Forgets an item, or all of them; what is under way is broken off. */
  cancel(only = null) {
    const chosen = (item) => only === null || item === only;
    const dropped = this.#waiting.filter(chosen);
    this.#waiting = this.#waiting.filter((item) => !chosen(item));
    for (const [item, controller] of [...this.#running]) {
      if (!chosen(item)) continue;
      this.#running.delete(item);
      controller.abort();
      dropped.push(item);
    }
    for (const item of dropped) this.#on.cancelled(item);
    if (this.idle) this.#stopWaiting();
    this.#go();
  }

  #go() {
    const left = this.#resumeAt - Date.now();
    if (left > 0 && this.#waiting.length > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = null;
        this.#go();
      }, left);
    } else {
      while (this.#running.size < AT_A_TIME && this.#waiting.length > 0) this.#start(this.#waiting.shift());
    }
    this.#on.changed();
  }

  async #start(item) {
    const controller = new AbortController();
    this.#running.set(item, controller);
    this.#on.started(item);
    let outcome;
    try {
      const result = await this.#work(item, controller.signal);
      outcome = () => this.#on.done(item, result);
    } catch (error) {
      outcome = () => this.#failed(item, error);
    }
    // Not if it was broken off meanwhile: then it is another run's, or nobody's.
    if (this.#running.get(item) !== controller) return;
    this.#running.delete(item);
    outcome();
    this.#go();
  }

  #failed(item, error) {
    const attempts = (this.#attempts.get(item) ?? 0) + 1;
    this.#attempts.set(item, attempts);
    const seconds = error.retryAfter ?? null;
    if (seconds === null || seconds > LONGEST_PAUSE_S || attempts >= (error.attempts ?? MOST_ATTEMPTS)) {
      this.#on.failed(item, error);
      return;
    }
    // The refusal holds for all: nobody asks again before it is over.
    this.#resumeAt = Math.max(this.#resumeAt, Date.now() + 1000 * seconds);
    this.#waiting.unshift(item);
    this.#on.waiting(item, seconds, error);
  }

  #stopWaiting() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#resumeAt = 0;
  }
}
