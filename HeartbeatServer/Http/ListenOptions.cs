namespace HeartbeatServer.Http;

/// <summary>A port that a <see cref="Doorkeeper"/> keeps.</summary>
/// <param name="Host"><c>*</c> for every IPv4 interface, an address or a host name.</param>
/// <param name="Port">1 to 65535.</param>
/// <param name="RequestTimeout">How long a request may take to come in.</param>
/// <param name="MostUnfinished">Requests that may be coming in at one time; for one more, the oldest is turned away.</param>
internal sealed record Door(string Host, int Port, TimeSpan RequestTimeout, int MostUnfinished = int.MaxValue);
