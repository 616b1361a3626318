namespace HeartbeatServer.Probe;

/// <summary>
/// Closes in on a silence that ends connections without a word: of some silences it is known that a ping still gets an answer after them, of others that
/// it does not. Pure.
/// </summary>
internal sealed class Ladder
{
    /// <summary>How long an answer to a ping may take: losing one segment or two must not look like the end.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Exact = TimeSpan.FromSeconds(2);

    /// <summary>In seconds. Usual limits lie right below most of them: a ping at the very moment of a limit would say nothing.</summary>
    private static readonly double[] Steps =
    [
        3.5, 6.5, 11, 16, 21, 31, 46, 61, 76, 91, 101, 121, 151, 181, 211, 241, 271, 301, 361, 421, 481, 541, 601, 721, 901, 1201, 1501, 1801, 2401, 3001, 3601,
        5401, 7201, 10801, 14401, 21601, 28801, 43201,
    ];

    private readonly List<TimeSpan> _lost = [];

    /// <summary>The longest silence after which bytes still passed.</summary>
    public TimeSpan Lower { get; private set; }

    /// <summary>The shortest silence after which they did not, if no longer one was survived; null if there is none.</summary>
    public TimeSpan? Upper
    {
        get
        {
            TimeSpan[] above = [.. _lost.Where(silence => silence > Lower)];
            return above.Length == 0 ? null : above.Min();
        }
    }

    /// <summary>How many pings got no answer though none could pass: those after <see cref="Upper"/> and longer.</summary>
    public int Lost => Upper is { } upper ? _lost.Count(silence => silence >= upper) : 0;

    /// <summary>How many pings got no answer though longer silences were survived.</summary>
    public int Strays => _lost.Count - Lost;

    /// <summary>Whether the bracket is as narrow as it gets: 2 s, or 2 % of the limit; a quarter of a short one.</summary>
    public bool IsNarrow => Upper is { } upper && upper - Lower <= Tolerance(upper);

    /// <summary>Bytes passed after this silence.</summary>
    public void Pass(TimeSpan silence) => Lower = silence > Lower ? silence : Lower;

    /// <summary>No byte passed after this silence.</summary>
    public void Lose(TimeSpan silence) => _lost.Add(silence);

    /// <summary>Chooses for a connection the silence after which it is to ping.</summary>
    /// <param name="silence">How long it has been silent so far.</param>
    /// <param name="left">How long there is still time, answer included.</param>
    /// <param name="taken">The silences that other connections are on their way to.</param>
    /// <returns>Null if there is none that would say anything new in time.</returns>
    public TimeSpan? Next(TimeSpan silence, TimeSpan left, IReadOnlyCollection<TimeSpan> taken)
    {
        TimeSpan latest = silence + left - Patience;
        if (Upper is { } upper)
            return Between(Lower, upper, silence, latest, taken);
        foreach (double seconds in Steps)
        {
            var step = TimeSpan.FromSeconds(seconds);
            if (step > Lower && step > silence && step <= latest && !taken.Contains(step))
                return step;
        }
        return null;
    }

    /// <summary>The middle of the widest gap that this connection can still get into.</summary>
    private static TimeSpan? Between(TimeSpan lower, TimeSpan upper, TimeSpan silence, TimeSpan latest, IEnumerable<TimeSpan> taken)
    {
        TimeSpan[] marks = [lower, .. taken.Where(each => each > lower && each < upper).Order(), upper];
        TimeSpan? best = null;
        TimeSpan widest = Tolerance(upper);
        for (int i = 1; i < marks.Length; i++)
        {
            TimeSpan from = marks[i - 1] > silence ? marks[i - 1] : silence;
            TimeSpan middle = (from + marks[i]) / 2;
            if (marks[i] - from <= widest || middle > latest)
                continue;
            (best, widest) = (middle, marks[i] - from);
        }
        return best;
    }

    private static TimeSpan Tolerance(TimeSpan upper) =>
        upper / 50 > Exact ? upper / 50
        : upper / 4 < Exact ? upper / 4 // a short one is soon narrowed
        : Exact;
}
