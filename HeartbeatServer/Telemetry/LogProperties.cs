using System.Net;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>Makes the properties of a line out of what they describe. A property without a value is left out of the line.</summary>
internal static class LogProperties
{
    public static (string, object?)[] Of(ClientInfo client) =>
        [("path", client.Path), ("user_agent", client.UserAgent), ("origin", client.Origin), ("subprotocol", client.Subprotocol)];

    public static (string, object?)[] Of(UpstreamFigures? leg) => leg is null
        ? []
        :
        [
            ("upstream_address", leg.Address),
            ("upstream_handshake_ms", Ms(leg.Handshake)),
            ("upstream_kernel_round_trip_ms", Ms(leg.KernelRoundTrip)),
            ("upstream_bytes_in", leg.BytesIn),
            ("upstream_bytes_out", leg.BytesOut),
            ("upstream_last_byte_seconds", Seconds(leg.SinceLastByte)),
            ("upstream_not_read_seconds", leg.NotReadFor is { } wait ? Seconds(wait) : null),
            ("upstream_inside_frame", leg.IsInsideFrame),
        ];

    public static (string, object?)[] Of(in Refusal refusal) =>
        [("status", refusal.Status), ("reason", refusal.Reason.Name()), ("text", refusal.Text)];

    /// <summary>A client: for a person in one text, for programs with address and port apart. Behind a trusted proxy its port is not known.</summary>
    public static (string, object?)[] Of(EndPoint? remote) => remote switch
    {
        IPEndPoint direct =>
            [("remote", new TextOnly(direct.ToString())), ("remote_address", direct.Address.ToString()), ("remote_port", direct.Port)],
        ForwardedEndPoint forwarded =>
        [
            ("remote", new TextOnly(forwarded.ToString())),
            ("remote_address", forwarded.Client.ToString()),
            ("proxy_address", forwarded.Proxy.Address.ToString()),
            ("proxy_port", forwarded.Proxy.Port),
        ],
        null => [("remote", new TextOnly("unknown"))],
        _ => [("remote", new TextOnly(remote.ToString()!))],
    };

    public static double? Ms(TimeSpan? time) => time is { } known ? Math.Round(known.TotalMilliseconds, 3) : null;

    public static double Seconds(TimeSpan time) => Math.Round(time.TotalSeconds, 3);
}
