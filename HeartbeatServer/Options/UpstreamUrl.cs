namespace HeartbeatServer.Options;

/// <summary>Where the application behind a relay is.</summary>
/// <param name="Address">Its host and port.</param>
/// <param name="HasTls">Whether it speaks TLS.</param>
internal sealed record UpstreamUrl(HostPort Address, bool HasTls = false)
{
    public override string ToString() => $"{(HasTls ? "https" : "http")}://{Address}";
}
