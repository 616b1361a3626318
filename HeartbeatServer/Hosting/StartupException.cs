namespace HeartbeatServer.Hosting;

/// <summary>Why the server cannot start. The message is for the person who started it.</summary>
internal sealed class StartupException(string message, Exception? cause = null) : Exception(message, cause);
