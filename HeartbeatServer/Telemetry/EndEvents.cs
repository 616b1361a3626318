using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>Many connections of one side that ended together.</summary>
/// <param name="Side">From where their ends came.</param>
/// <param name="Ends">Those that are remembered, in the order of their ends.</param>
/// <param name="Causes">How many ended for each cause, the forgotten ones included.</param>
/// <param name="Open">How many connections were open before.</param>
/// <param name="From">The moment of the first end.</param>
/// <param name="To">The moment of the last end.</param>
internal sealed record EndEvent(
    EndSide Side, IReadOnlyList<EndRecord> Ends, IReadOnlyDictionary<DisconnectCause, int> Causes, int Open, TimeSpan From, TimeSpan To)
{
    public int Count => Causes.Values.Sum();
}

/// <summary>Finds the events in the record. Pure.</summary>
internal static class EndEvents
{
    /// <summary>An event is at least so many ends.</summary>
    public const int Least = 10;

    /// <summary>An event is at least this part of the connections that were open.</summary>
    public const double LeastShare = 0.1;

    /// <summary>Ends within so much time are together.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(2);

    /// <summary>Where clients come and go all the time, many ends are nothing new: an event has as many more as so many times the usual.</summary>
    private const int StandsOut = 4;

    /// <summary>So much time before and after an event shows what is usual.</summary>
    private static readonly TimeSpan Around = TimeSpan.FromMinutes(3);

    /// <summary>The events, in the order in which they happened, each with the ends that no other has.</summary>
    /// <param name="record">The ends to search.</param>
    /// <param name="now">On the clock of <see cref="EndRecord.Moment"/>.</param>
    public static IReadOnlyList<EndEvent> In(EndSnapshot record, TimeSpan now) =>
    [
        .. record.Ends
            .GroupBy(end => end.End.Cause.Side())
            .Where(group => group.Key != EndSide.Server) // its own ends are nothing to be explained
            .SelectMany(group => OfSide(group.Key, [.. group.OrderBy(end => end.Moment)], record, now))
            .OrderBy(found => found.From),
    ];

    private static List<EndEvent> OfSide(EndSide side, EndRecord[] ends, EndSnapshot record, TimeSpan now)
    {
        var found = new List<EndEvent>();
        int[] counts = Counts(ends);
        (int begin, double usual) = (-1, 0);
        int next = 0;
        while (next < ends.Length)
        {
            if (counts[next] < Least || counts[next] < LeastShare * ends[next].Open)
            {
                next++;
                continue;
            }
            int greatest = Greatest(ends, counts, next);
            // The greatest of many places in a row is the same.
            if (greatest != begin)
                (begin, usual) = (greatest, Usual(side, ends[greatest].Moment, record, now));
            if (counts[begin] < Least + (int)(StandsOut * usual))
            {
                next++;
                continue;
            }
            List<EndRecord> those = From(ends, begin);
            next = Array.IndexOf(ends, those[^1]) + 1;
            EndEvent one = Counted(side, those, record);
            // What goes on for longer than the window is one event nevertheless.
            if (found.Count > 0 && one.From - found[^1].To < Window)
                found[^1] = Joined(found[^1], one);
            else
                found.Add(one);
        }
        return found;
    }

    /// <summary>How many ends <see cref="From"/> finds from each place on.</summary>
    /// <remarks>
    /// Where clients come and go fast, all remembered ends are within one window. Each place then looks at all places after it, so the loop does nothing
    /// but compare two arrays of times.
    /// </remarks>
    private static int[] Counts(EndRecord[] ends)
    {
        TimeSpan[] moments = Array.ConvertAll(ends, end => end.Moment);
        TimeSpan[] opened = Array.ConvertAll(ends, end => end.Opened);
        var counts = new int[ends.Length];
        for (int first = 0; first < ends.Length; first++)
        {
            (TimeSpan begin, TimeSpan last) = (moments[first], moments[first] + Window);
            for (int i = first; i < ends.Length && moments[i] <= last; i++)
                counts[first] += opened[i] <= begin ? 1 : 0;
        }
        return counts;
    }

    /// <summary>Where the greatest of the events begins that begin within the window after a place.</summary>
    private static int Greatest(EndRecord[] ends, int[] counts, int first)
    {
        int greatest = first;
        TimeSpan last = ends[first].Moment + Window;
        // As soon as too few are left for a greater one, nobody needs to look on.
        for (int i = first + 1; ends.Length - i > counts[greatest] && ends[i].Moment <= last; i++)
        {
            if (counts[i] > counts[greatest])
                greatest = i;
        }
        return greatest;
    }

    /// <summary>Those that ended within the window after one, and were open then: who came later did not end with it.</summary>
    private static List<EndRecord> From(EndRecord[] ends, int first)
    {
        TimeSpan begin = ends[first].Moment;
        var those = new List<EndRecord>();
        for (int i = first; i < ends.Length && ends[i].Moment <= begin + Window; i++)
        {
            if (ends[i].Opened <= begin)
                those.Add(ends[i]);
        }
        return those;
    }

    /// <summary>
    /// How many ends of a side there are in a window as a rule, before and after the window that begins at one moment. As long as little time has passed,
    /// that is not known well, and two more are taken for usual.
    /// </summary>
    private static double Usual(EndSide side, TimeSpan begin, EndSnapshot record, TimeSpan now)
    {
        TimeSpan from = begin - Around > record.Since ? begin - Around : record.Since;
        TimeSpan to = begin + Around < now ? begin + Around : now;
        int others = record.Steps.Where(step => step.Cause.Side() == side && step.First >= from && step.First <= to && !IsIn(step)).Sum(step => step.Count);
        TimeSpan time = to - from - Window;
        return (others + 2) * (Window / (time > Window ? time : Window));

        bool IsIn(EndStep step) => step.Last >= begin && step.First <= begin + Window;
    }

    private static EndEvent Counted(EndSide side, List<EndRecord> those, EndSnapshot record)
    {
        TimeSpan to = those[^1].Moment;
        if (record.Ends[0].Sequence == 1 || those[0].Moment - record.Ends[0].Moment > EndLog.Step)
            return new EndEvent(side, those, those.CountBy(end => end.End.Cause).ToDictionary(), those[0].Open, those[0].Moment, to);

        // The event began before the oldest end that is remembered.
        EndStep[] steps = [.. record.Steps.Where(step => step.Cause.Side() == side && step.First <= to && to - step.First <= Window)];
        return new EndEvent(
            side, those, steps.GroupBy(step => step.Cause).ToDictionary(group => group.Key, group => group.Sum(step => step.Count)),
            steps[0].Open, steps[0].First, to);
    }

    private static EndEvent Joined(EndEvent one, EndEvent other) => one with
    {
        Ends = [.. one.Ends, .. other.Ends],
        Causes = one.Causes.Concat(other.Causes).GroupBy(pair => pair.Key).ToDictionary(group => group.Key, group => group.Sum(pair => pair.Value)),
        To = other.To,
    };
}
