namespace HeartbeatServer.Tests.Support;

/// <summary>Waiting for a fact. The limit is no part of any rule: it only fails a test that hangs.</summary>
internal static class Safety
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static Task InTime(this Task task) => task.WaitAsync(Limit);

    public static Task<T> InTime<T>(this Task<T> task) => task.WaitAsync(Limit);

    public static Task<T> InTime<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Limit);

    /// <summary>For a fact that nobody announces.</summary>
    /// <param name="condition">The fact.</param>
    /// <param name="what">Its name, for the failure.</param>
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
