using System.Runtime.Versioning;
using HeartbeatServer.Connections;

namespace HeartbeatServer.Relay;

/// <summary>
/// The memory that all pages together hold for sides that do not read. It counts in the budget of all connections, and may take half of it. Past that the page
/// that has waited the longest has to go, so that pages leave room for WebSockets.
/// </summary>
/// <param name="budget">What connections and pages may hold together (<c>--max-buffered</c>).</param>
[SupportedOSPlatform("linux")]
internal sealed class PageBuffers(BufferBudget budget)
{
    // The lock guards the holds of pages that may go on, those that wait for the longest time first, and their sum.
    private readonly Lock _gate = new();
    private readonly LinkedList<PageHold> _holds = [];
    private long _used;

    /// <summary>The most that pages may hold, in bytes.</summary>
    public long Most => budget.Limit / 2;

    /// <summary>Counts a buffer of a page that has to wait. A page may have to go for it, this one, too.</summary>
    /// <returns>To be disposed of when the buffer is free.</returns>
    public IDisposable Hold(Page page, int bytes)
    {
        var hold = new PageHold(this, page, bytes);
        List<Page> goes = [];
        lock (_gate)
        {
            _holds.AddLast(hold.Node);
            _used += bytes;
            while (_used > Most)
                goes.Add(Forget(_holds.First!)); // it is as good as free
        }
        budget.Add(bytes);
        foreach (Page one in goes)
            one.Fail(Refusals.BufferLimit(Most));
        return hold;
    }

    private void Release(PageHold hold)
    {
        lock (_gate)
        {
            if (hold.Node.List is not null)
                Forget(hold.Node);
        }
        budget.Release(hold.Bytes);
    }

    private Page Forget(LinkedListNode<PageHold> node)
    {
        _holds.Remove(node);
        _used -= node.Value.Bytes;
        return node.Value.Page;
    }

    /// <summary>A buffer of a page.</summary>
    private sealed class PageHold : IDisposable
    {
        private PageBuffers? _buffers;

        public PageHold(PageBuffers buffers, Page page, int bytes) => (_buffers, Page, Bytes, Node) = (buffers, page, bytes, new(this));

        public Page Page { get; }

        public int Bytes { get; }

        public LinkedListNode<PageHold> Node { get; }

        public void Dispose() => Interlocked.Exchange(ref _buffers, null)?.Release(this);
    }
}
