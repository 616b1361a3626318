// Asks again and again, one request at a time, and not while nobody looks.

const EVERY_MS = 2000;
const TIMEOUT_MS = 5000;

/** The server does not answer, or not as it should. The message says how. */
export class NoAnswer extends Error {
    /** status: of HTTP; null if there was no answer at all. */
    constructor(message, status = null) {
        super(message);
        this.status = status;
    }
}

/**
 * Calls work(get) at once, and then so long after it has ended. get(path) is the JSON of an answer. A call that is under way when `now` is
 * called, or when the page is hidden, is given up. onFailure gets the NoAnswer of a call that failed.
 */
export function poll(work, onFailure) {
    let current = null;
    let timer;

    async function run() {
        stop();
        if (document.hidden)
            return;
        const mine = current = new AbortController();
        try {
            await work(path => get(path, mine.signal));
        } catch (error) {
            if (current !== mine)
                return;
            if (error instanceof NoAnswer)
                onFailure(error);
            else
                reportError(error);
        }
        if (current === mine)
            timer = setTimeout(run, EVERY_MS);
    }

    function stop() {
        clearTimeout(timer);
        current?.abort();
        current = null;
    }

    document.addEventListener("visibilitychange", run);
    run();
    return { now: run };
}

/** The JSON of an answer. signal: gives it up. */
export async function get(path, signal = null) {
    let response;
    try {
        response = await fetch(path, { signal: AbortSignal.any([...signal ? [signal] : [], AbortSignal.timeout(TIMEOUT_MS)]) });
        const answer = await response.json();
        if (response.ok)
            return answer;
        throw new NoAnswer(answer.error ?? `HTTP ${response.status}`, response.status);
    } catch (error) {
        throw error instanceof NoAnswer ? error : new NoAnswer(error.message, response?.ok === false ? response.status : null);
    }
}
