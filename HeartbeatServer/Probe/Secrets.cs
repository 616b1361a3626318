using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>
/// What was given and must not come back: the texts of headers and of the query. A server may repeat them in an error page or in a redirect, and people
/// pass the output of the probe on. Pure.
/// </summary>
internal sealed class Secrets
{
    /// <summary>Shorter words are no secret, and would be found in many other words.</summary>
    private const int Shortest = 4;

    private const string Hidden = "***";

    /// <summary>The names of schemes (RFC 9110 section 11.1) stand before a secret, and are none.</summary>
    private static readonly string[] Schemes = ["Basic", "Bearer", "Digest", "Negotiate", "Token"];

    // The longest first: a word may be a part of a longer one.
    private readonly string[] _texts;

    public Secrets(ProbeOptions options)
    {
        IEnumerable<string> given = options.Headers.Select(header => header.Value).Append(options.Url.Query);
        _texts =
        [
            .. given
                .SelectMany(text => (string[])[text, .. text.Split([' ', ';', ',', '&'])])
                .SelectMany(text => (string[])[text, text[(text.IndexOf('=', StringComparison.Ordinal) + 1)..]])
                .SelectMany(text => (string[])[text, Uri.UnescapeDataString(text)])
                .Where(text => text.Length >= Shortest && !Schemes.Contains(text, StringComparer.OrdinalIgnoreCase))
                .Distinct()
                .OrderByDescending(text => text.Length),
        ];
    }

    /// <summary>A text of the server's, in printable characters, with *** in the place of each secret.</summary>
    public string Hide(string text) => PeerText.Printable(_texts.Aggregate(text, (hidden, secret) => hidden.Replace(secret, Hidden, StringComparison.Ordinal)));
}
