namespace HeartbeatServer.Tests.Support;

/// <summary>Lets tests await a condition on an object that announces its changes.</summary>
internal sealed class Watch
{
    private readonly Lock _gate = new();
    private readonly List<(Func<bool> Condition, TaskCompletionSource Met)> _waiting = [];

    /// <param name="condition">The condition. It is checked at every change, on the thread that makes the change.</param>
    /// <param name="what">The name of the condition, for the failure.</param>
    public async Task UntilAsync(Func<bool> condition, string what)
    {
        var met = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
            _waiting.Add((condition, met));
        Changed();
        try
        {
            await met.Task.InTime();
        }
        catch (TimeoutException)
        {
            Assert.Fail($"waited {Safety.Limit.TotalSeconds} s for: {what}");
        }
    }

    public void Changed()
    {
        lock (_gate)
        {
            _waiting.RemoveAll(waiting =>
            {
                bool met = waiting.Condition();
                if (met)
                    waiting.Met.SetResult();
                return met;
            });
        }
    }
}
