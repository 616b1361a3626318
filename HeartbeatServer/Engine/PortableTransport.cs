using System.Net.Sockets;
using System.Threading.Tasks.Sources;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>A socket that the framework's threads serve, where there is no <see cref="Epoll"/>.</summary>
internal sealed class PortableTransport : SocketTransport
{
    private readonly Socket _socket;
    private readonly Receiver _receiver;
    private int _turn;

    /// <param name="socket">A connected socket. The transport owns it.</param>
    public PortableTransport(Socket socket)
    {
        _socket = socket;
        _socket.Blocking = false;
        _receiver = new Receiver(this);
    }

    public override TcpInfo? Tcp => TcpOf(_socket);

    public override void CancelRead() => Abort();

    protected override ValueTask<int> WaitAsync(bool isBusy) => ReceiveAsync(Memory<byte>.Empty);

    protected override ValueTask<int> ReceiveAsync(Memory<byte> buffer)
    {
        ValueTask<int> receive = _receiver.Receive(_socket, buffer);
        _turn = receive.IsCompleted ? _turn + 1 : 0;
        if (_turn <= ReadsInTurn)
            return receive;
        _turn = 0;
        return LaterAsync(receive);

        static async ValueTask<int> LaterAsync(ValueTask<int> receive)
        {
            await Task.Yield();
            return await receive;
        }
    }

    protected override async ValueTask SendRestAsync(ReadOnlyMemory<byte> rest)
    {
        while (!rest.IsEmpty)
            rest = rest[await _socket.SendAsync(rest)..];
    }

    protected override void CloseSocket() => _socket.Dispose();

    protected override int Send(ReadOnlySpan<byte> bytes, out SocketError error) => _socket.Send(bytes, SocketFlags.None, out error);

    protected override int Receive(Span<byte> buffer, out SocketError error) => _socket.Receive(buffer, SocketFlags.None, out error);

    protected override int Available() => _socket.Available;

    protected override void EndSending() => _socket.Shutdown(SocketShutdown.Send);

    protected override void ResetOnClose() => _socket.LingerState = new LingerOption(true, 0);

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing)
            _receiver.Dispose();
    }

    /// <summary>Receives, one receive at a time, without an allocation or an exception.</summary>
    private sealed class Receiver(PortableTransport transport) : SocketAsyncEventArgs(true /* no execution context flows: nothing here reads it */), IValueTaskSource<int>
    {
        private ManualResetValueTaskSourceCore<int> _completion;

        public ValueTask<int> Receive(Socket socket, Memory<byte> buffer)
        {
            SetBuffer(buffer);
            _completion.Reset();
            try
            {
                return socket.ReceiveAsync(this) ? new(this, _completion.Version) : new(Result());
            }
            catch (ObjectDisposedException)
            {
                return new(transport.End(SocketError.OperationAborted));
            }
        }

        protected override void OnCompleted(SocketAsyncEventArgs e) => _completion.SetResult(Result());

        int IValueTaskSource<int>.GetResult(short token) => _completion.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _completion.GetStatus(token);

        void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _completion.OnCompleted(continuation, state, token, flags);

        private int Result() => SocketError == SocketError.Success ? BytesTransferred : transport.End(SocketError);
    }
}
