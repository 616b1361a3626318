namespace HeartbeatServer.Tests.Support;

/// <summary>Waits until a fact is true. The time limit belongs to no rule: it only ends a test that hangs.</summary>
internal static class Safety
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static Task InTime(this Task task) => task.WaitAsync(Limit);

    public static Task<T> InTime<T>(this Task<T> task) => task.WaitAsync(Limit);

    public static Task<T> InTime<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Limit);

    /// <summary>Asks again and again for a fact that nothing announces.</summary>
    /// <param name="condition">Whether the fact is true.</param>
    /// <param name="what">The name of the fact, for the failure.</param>
    public static async Task UntilAsync(Func<bool> condition, string what)
    {
        using var limit = new CancellationTokenSource(Limit);
        while (!condition())
        {
            if (limit.IsCancellationRequested)
                Assert.Fail($"waited {Limit.TotalSeconds} s for: {what}");
            await Task.Delay(1, CancellationToken.None);
        }
    }
}
