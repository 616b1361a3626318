using System.Diagnostics.CodeAnalysis;
using System.Runtime.Versioning;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>Carries a refusal out of what HttpClient calls.</summary>
/// <param name="refusal">What the client is told.</param>
[SupportedOSPlatform("linux")]
[SuppressMessage("Design", "CA1032", Justification = "Without a refusal it would say nothing.")]
[SuppressMessage("Design", "CA1064", Justification = "Nothing here is public.")]
internal sealed class UpstreamException(Refusal refusal) : IOException(refusal.Text)
{
    public Refusal Refusal => refusal;

    public static UpstreamException BadAnswer(string fault) => new(Refusals.BadAnswer(fault));
}
