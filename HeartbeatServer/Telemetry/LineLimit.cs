namespace HeartbeatServer.Telemetry;

/// <summary>
/// Keeps floods out of the log. Of each kind of line the first ones in a second pass. The rest are counted, and the count is told when the second is
/// over, whether or not more lines follow. While the flood lasts, one line and one count in ten seconds follow. Any thread may ask.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="tell">Called with the kind, the count of those that were held back, and the time in which they came.</param>
internal sealed class LineLimit(TimeProvider time, Action<LogLine, long, TimeSpan> tell)
{
    /// <summary>So many lines of one kind pass in a second.</summary>
    public const int MostInASecond = 10;

    private static readonly TimeSpan Usual = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan InAFlood = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<LogLine, Window> _windows = [];

    /// <summary>Counts one line.</summary>
    /// <returns>Whether the line may be written.</returns>
    public bool TryPass(LogLine line)
    {
        Window window;
        lock (_gate)
        {
            if (!_windows.TryGetValue(line, out Window? known))
                _windows[line] = known = new Window(time.GetTimestamp());
            window = known;
            if (window.Held == 0 && time.GetElapsedTime(window.Start) >= window.Length)
                _windows[line] = window = new Window(time.GetTimestamp());
            if (window.Passed < window.Most)
            {
                window.Passed++;
                return true;
            }
            if (window.Held++ > 0)
                return false;
        }
        _ = TellAfterAsync(line, window);
        return false;
    }

    /// <summary>Tells now what was held back so far.</summary>
    public void Flush()
    {
        (LogLine, Window)[] held;
        lock (_gate)
            held = [.. _windows.Where(pair => pair.Value.Held > 0).Select(pair => (pair.Key, pair.Value))];
        foreach ((LogLine line, Window window) in held)
            Tell(line, window);
    }

    private async Task TellAfterAsync(LogLine line, Window window)
    {
        TimeSpan left = window.Length - time.GetElapsedTime(window.Start);
        if (left > TimeSpan.Zero)
            await Task.Delay(left, time);
        Tell(line, window);
    }

    /// <summary>Tells of a window, unless that was done, and begins the next one.</summary>
    private void Tell(LogLine line, Window window)
    {
        long held;
        TimeSpan length;
        lock (_gate)
        {
            if (_windows[line] != window)
                return;
            held = window.Held;
            length = time.GetElapsedTime(window.Start);
            bool isFlood = window.Passed + held > MostInASecond * length.TotalSeconds;
            _windows[line] = new Window(time.GetTimestamp()) { IsFlood = isFlood };
        }
        tell(line, held, length);
    }

    /// <summary>A stretch of time, and how many lines of one kind came in it.</summary>
    /// <param name="start">A timestamp.</param>
    private sealed class Window(long start)
    {
        public long Start => start;

        /// <summary>Whether the window before had more lines than are usual.</summary>
        public bool IsFlood { get; init; }

        public TimeSpan Length => IsFlood ? InAFlood : Usual;

        public int Most => IsFlood ? 1 : MostInASecond;

        public int Passed { get; set; }

        public long Held { get; set; }
    }
}
