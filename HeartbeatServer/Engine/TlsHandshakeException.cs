using System.Net.Security;

namespace HeartbeatServer.Engine;

/// <summary>The TLS handshake has failed. The inner exception is that of <see cref="SslStream"/>.</summary>
internal sealed class TlsHandshakeException(Exception failure) : IOException(failure.Message, failure);
