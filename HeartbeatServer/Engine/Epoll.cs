using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

// libc is the system's, never a file beside the program.
[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.System32)]

namespace HeartbeatServer.Engine;

/// <summary>What a socket is ready for, or waited for, as <c>epoll_ctl(2)</c> has it.</summary>
[Flags]
internal enum Readiness : uint
{
    None = 0,
    Read = 0x1,
    Write = 0x4,
    Error = 0x8,
    HangUp = 0x10,
}

/// <summary>Who has the first turn when several sockets are ready.</summary>
internal enum Priority
{
    /// <summary>Served at once, in the order in which they are reported.</summary>
    Normal,
    /// <summary>Served after the others: it has not shown yet that it is a client.</summary>
    Low,
    /// <summary>Served after the others, too, but apart from those of low priority: it has used up its last turn and had more.</summary>
    Busy,
}

/// <summary>What an <see cref="EventLoop"/> calls when a socket is ready.</summary>
internal interface IReady
{
    public Priority Priority { get; }

    /// <summary>The socket is ready. The event loop calls this on its own thread.</summary>
    public void OnReady(Readiness ready);

    /// <summary>Ends what the socket is for: <see cref="OnReady"/> has thrown, so nobody knows in which state it is.</summary>
    public void Abort();
}

/// <summary>
/// Reports which of many sockets are ready. It is level-triggered: it reports a socket again and again as long as it is ready, so nothing is missed
/// between two waits. docs/decisions/0005 says why it is ours and not the framework's.
/// </summary>
/// <remarks>One thread waits and reads the events. Any thread may add, change and wake.</remarks>
[SupportedOSPlatform("linux")]
internal sealed unsafe partial class Epoll : IDisposable
{
    /// <summary>Of one wait. So many that a socket which becomes ready behind busy ones is reported by the next wait all the same.</summary>
    private const int MaxEvents = 1024;
    private const int Add = 1;
    private const int Delete = 2;
    private const int Modify = 3;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int Interrupted = 4;

    /// <summary>Token of the descriptor that only wakes.</summary>
    private const int WakeToken = -1;

    /// <summary>In bytes. <c>struct epoll_event</c> is packed on x86, and there only.</summary>
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.X86 ? 12 : 16;
    private static readonly int TokenOffset = EventSize - sizeof(ulong);

    private readonly SafeFileHandle _epoll = Created(EpollCreate(CloseOnExec));
    private readonly SafeFileHandle _wake = Created(EventFd(0, CloseOnExec | NonBlocking));
    private readonly byte[] _events = GC.AllocateArray<byte>(MaxEvents * EventSize, pinned: true);
    private readonly Lock _gate = new();
    private readonly Stack<int> _free = [];
    private IReady?[] _targets = new IReady?[16];

    /// <exception cref="IOException">No descriptor is left.</exception>
    public Epoll()
    {
        if (!TryControl(Add, (int)_wake.DangerousGetHandle(), Readiness.Read, WakeToken))
            throw Failed();
        for (int token = _targets.Length - 1; token >= 0; token--)
            _free.Push(token);
    }

    /// <summary>Those who have a token.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _targets.Length - _free.Count;
        }
    }

    /// <summary>Gives the token under which a socket is watched, to whom it concerns.</summary>
    public int Enter(IReady target)
    {
        lock (_gate)
        {
            if (!_free.TryPop(out int token))
            {
                token = _targets.Length;
                var larger = new IReady?[2 * token];
                _targets.CopyTo(larger, 0);
                for (int free = larger.Length - 1; free > token; free--)
                    _free.Push(free);
                Volatile.Write(ref _targets, larger);
            }
            _targets[token] = target;
            return token;
        }
    }

    /// <summary>
    /// Frees a token. An event of its socket may already be on its way: it reaches nobody, or the token's next owner, which finds nothing to read.
    /// </summary>
    public void Leave(int token)
    {
        lock (_gate)
        {
            _targets[token] = null;
            _free.Push(token);
        }
    }

    /// <summary>Watches a socket, until it is closed, or watches it for something else.</summary>
    /// <param name="socket">Its descriptor.</param>
    /// <param name="token">Of whom it concerns.</param>
    /// <param name="before">What it is watched for; <see cref="Readiness.None"/> if it is not.</param>
    /// <param name="wanted">Hang-ups and errors are told anyway, as long as it is watched at all.</param>
    /// <exception cref="IOException">The kernel has no room for it.</exception>
    public void Watch(int socket, int token, Readiness before, Readiness wanted)
    {
        bool done = wanted == Readiness.None
            ? TryControl(Delete, socket, wanted, token)
            : TryControl(before == Readiness.None ? Add : Modify, socket, wanted, token);
        if (!done)
            throw Failed();
    }

    /// <summary>Waits until a socket is ready. <see cref="Event"/> then has the events.</summary>
    /// <param name="milliseconds">At most; -1 for no limit.</param>
    /// <returns>How many events there are; 0 if the time was over.</returns>
    public int Wait(int milliseconds)
    {
        fixed (byte* events = _events)
        {
            int count = EpollWait(_epoll, events, MaxEvents, milliseconds);
            if (count >= 0)
                return count;
            return Marshal.GetLastPInvokeError() == Interrupted ? 0 : throw Failed();
        }
    }

    /// <summary>One of the events that the last <see cref="Wait"/> brought.</summary>
    /// <param name="index">From 0.</param>
    /// <param name="ready">What the socket is ready for.</param>
    /// <returns>Whom it concerns; null if that one has left meanwhile, or if the event was a <see cref="Wake"/>.</returns>
    public IReady? Event(int index, out Readiness ready)
    {
        ReadOnlySpan<byte> one = _events.AsSpan(index * EventSize, EventSize);
        ready = (Readiness)BitConverter.ToUInt32(one);
        long token = BitConverter.ToInt64(one[TokenOffset..]);
        if (token != WakeToken)
            return Volatile.Read(ref _targets)[token];
        EventFdRead(_wake, out _);
        return null;
    }

    /// <summary>Ends the wait in progress, or the next.</summary>
    public void Wake() => EventFdWrite(_wake, 1);

    public void Dispose()
    {
        _epoll.Dispose();
        _wake.Dispose();
    }

    private bool TryControl(int operation, int socket, Readiness wanted, long token)
    {
        byte* one = stackalloc byte[EventSize];
        *(uint*)one = (uint)wanted;
        *(long*)(one + TokenOffset) = token;
        return EpollControl((int)_epoll.DangerousGetHandle(), operation, socket, one) == 0;
    }

    private static SafeFileHandle Created(int descriptor) =>
        descriptor >= 0 ? new SafeFileHandle(descriptor, ownsHandle: true) : throw Failed();

    private static IOException Failed()
    {
        var error = new Win32Exception(Marshal.GetLastPInvokeError());
        return new IOException($"epoll: {error.Message}", error);
    }

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollControl(int epoll, int operation, int descriptor, byte* one);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(SafeFileHandle epoll, byte* events, int count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int EventFd(uint value, int flags);

    [LibraryImport("libc", EntryPoint = "eventfd_read")]
    private static partial int EventFdRead(SafeFileHandle descriptor, out ulong value);

    [LibraryImport("libc", EntryPoint = "eventfd_write")]
    private static partial int EventFdWrite(SafeFileHandle descriptor, ulong value);
}
